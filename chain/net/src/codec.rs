//! Request and answer on a stream: everything until its end, within the limit.

use std::io;

use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;

use crate::wire::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, SyncRequest, SyncResponse, WireError};

/// The sync protocol's codec.
#[derive(Clone, Debug, Default)]
pub(crate) struct SyncCodec;

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > most { Err(bad(WireError)) } else { Ok(bytes) }
}

fn bad(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Codec for SyncCodec {
    type Protocol = StreamProtocol;
    type Request = SyncRequest;
    type Response = SyncResponse;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<SyncRequest>
    where
        T: AsyncRead + Unpin + Send,
    {
        SyncRequest::decode(&read(io, MAX_REQUEST_BYTES).await?).map_err(bad)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<SyncResponse>
    where
        T: AsyncRead + Unpin + Send,
    {
        SyncResponse::decode(&read(io, MAX_RESPONSE_BYTES).await?).map_err(bad)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: SyncRequest) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&request.encode()).await?;
        io.close().await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: SyncResponse) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&response.encode()).await?;
        io.close().await
    }
}
