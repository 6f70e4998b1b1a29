//! The twin in memory: for tests and the simulator.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::StoreError;
use crate::kv::{Batch, Entry, Kv, Table};

/// One table.
type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Tables as maps. A batch is atomic for readers too.
#[derive(Debug, Default)]
pub struct MemoryKv {
    tables: RwLock<BTreeMap<Table, Map>>,
}

impl Kv for MemoryKv {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.get(&table).and_then(|map| map.get(key)).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], within: usize, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(map) = tables.get(&table) else { return Ok(Vec::new()) };
        let prefix = from.get(..within).unwrap_or(from);
        let entries = map.range(from.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn write(&self, batch: Batch, _durable: bool) -> Result<(), StoreError> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (table, key, value) in batch.writes {
            let map = tables.entry(table).or_default();
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }

    fn view(&self) -> Result<Box<dyn Kv + '_>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Box::new(Self { tables: RwLock::new(tables) }))
    }
}
