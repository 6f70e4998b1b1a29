//! RocksDB: one column family a table.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, IteratorMode, Options, ReadOptions, SliceTransform, WriteBatch, WriteOptions,
};

use crate::StoreError;
use crate::kv::{Batch, Entry, Kv, Table, view_is_read_only};

/// Cache of blocks, indexes and filters: what is left of a full node's 400 MiB (design) after the process and its buffers.
const CACHE_BYTES: usize = 96 << 20;
/// Unflushed writes of all tables together: some ten full blocks.
const WRITE_BUFFER_BYTES: usize = 64 << 20;
/// Unflushed writes of one table before it is flushed.
const TABLE_BUFFER_BYTES: usize = 16 << 20;
/// Files held open: each pins its index in the cache only while open.
const MAX_OPEN_FILES: i32 = 256;
/// Bits a key in the filters: 1 % false hits.
const FILTER_BITS: f64 = 10.0;
/// Log files RocksDB keeps of itself, and their size.
const INFO_LOGS: usize = 4;
const INFO_LOG_BYTES: usize = 4 << 20;

/// A database in a folder. Only one process can hold it.
pub struct RocksKv {
    db: DB,
}

impl std::fmt::Debug for RocksKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksKv").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

fn failed(error: rocksdb::Error) -> StoreError {
    StoreError::Database(error.into_string())
}

impl RocksKv {
    /// Opens the database in `path`, or makes it.
    ///
    /// # Errors
    /// Another process holds it, the disk failed, or it is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(MAX_OPEN_FILES);
        options.set_db_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_total_wal_size(WRITE_BUFFER_BYTES as u64 * 2);
        options.set_keep_log_file_num(INFO_LOGS);
        options.set_max_log_file_size(INFO_LOG_BYTES);
        // All tables reach the disk together, so that a log that ends early loses whole blocks and never a part of one.
        options.set_atomic_flush(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let tables = Table::ALL.map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(table, &cache)));
        Ok(Self { db: DB::open_cf_descriptors(&options, path, tables).map_err(failed)? })
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(table.name()).ok_or(StoreError::Corrupt("a table is missing"))
    }

    /// Writes buffered data into table files and merges them: before measuring or copying.
    ///
    /// # Errors
    /// The disk failed.
    pub fn compact(&self) -> Result<(), StoreError> {
        for table in Table::ALL {
            self.db.compact_range_cf(self.family(table)?, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }
}

fn table_options(table: Table, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(FILTER_BITS, false);
    blocks.set_index_type(BlockBasedIndexType::BinarySearch);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(TABLE_BUFFER_BYTES);
    if table.prefix_len() > 0 {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(table.prefix_len()));
    }
    options
}

impl Kv for RocksKv {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(table)?, key).map_err(failed)
    }

    fn scan(&self, table: Table, from: &[u8], within: usize, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let read = scan_options(table, within);
        let mode = IteratorMode::From(from, rocksdb::Direction::Forward);
        entries(self.db.iterator_cf_opt(self.family(table)?, read, mode), from, within, limit)
    }

    fn write(&self, batch: Batch, durable: bool) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        for (table, key, value) in batch.writes {
            let family = self.family(table)?;
            match value {
                Some(value) => writes.put_cf(family, key, value),
                None => writes.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durable);
        self.db.write_opt(writes, &options).map_err(failed)
    }

    fn view(&self) -> Result<Box<dyn Kv + '_>, StoreError> {
        Ok(Box::new(RocksView { kv: self, snapshot: self.db.snapshot() }))
    }
}

fn scan_options(table: Table, within: usize) -> ReadOptions {
    let mut read = ReadOptions::default();
    if within > 0 && within == table.prefix_len() {
        read.set_prefix_same_as_start(true);
    } else {
        read.set_total_order_seek(true);
    }
    read
}

fn entries(
    iterator: impl Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>>,
    from: &[u8],
    within: usize,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let prefix = from.get(..within).unwrap_or(from);
    let mut entries = Vec::new();
    for entry in iterator.take(limit) {
        let (key, value) = entry.map_err(failed)?;
        if !key.starts_with(prefix) {
            break;
        }
        entries.push((key.into_vec(), value.into_vec()));
    }
    Ok(entries)
}

/// The database at one moment.
struct RocksView<'a> {
    kv: &'a RocksKv,
    snapshot: rocksdb::Snapshot<'a>,
}

impl Kv for RocksView<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot.get_cf(self.kv.family(table)?, key).map_err(failed)
    }

    fn scan(&self, table: Table, from: &[u8], within: usize, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mode = IteratorMode::From(from, rocksdb::Direction::Forward);
        let read = scan_options(table, within);
        entries(self.snapshot.iterator_cf_opt(self.kv.family(table)?, read, mode), from, within, limit)
    }

    fn write(&self, _batch: Batch, _durable: bool) -> Result<(), StoreError> {
        Err(view_is_read_only())
    }
}
