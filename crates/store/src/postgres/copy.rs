//! COPY in binary form: no quoting, and octets travel as they are.

use super::session::{error, wait};
use crate::error::{Error, Result};
use crate::value::Value;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use std::pin::pin;
use tokio::runtime::Runtime;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, CopyInSink};

/// Rows are sent in pieces of about this size.
const PIECE_BYTES: usize = 128 * 1024;
/// Signature, flags and header extension of the binary format.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A row length of -1 ends the data.
const TRAILER: i16 = -1;

pub(super) fn copy_in(
    runtime: &Runtime,
    client: &Client,
    sql: &str,
    types: &[Type],
    rows: impl Iterator<Item = Vec<Value>>,
) -> Result<u64> {
    let sink: CopyInSink<Bytes> = wait(runtime, client.copy_in(sql)).map_err(|e| error(&e, sql))?;
    let mut sink = pin!(sink);
    let mut piece = BytesMut::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
    piece.put_slice(HEADER);
    for row in rows {
        put_row(&row, types, &mut piece)?;
        if piece.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE_BYTES + PIECE_BYTES / 8));
            wait(runtime, async {
                let sent = sink.send(full.freeze()).await;
                // The connection's task writes while this thread waits; let it, so that the server works meanwhile.
                tokio::task::yield_now().await;
                sent
            })
            .map_err(|e| error(&e, sql))?;
        }
    }
    piece.put_i16(TRAILER);
    wait(runtime, async {
        sink.send(piece.freeze()).await?;
        sink.as_mut().finish().await
    })
    .map_err(|e| error(&e, sql))
}

fn put_row(row: &[Value], types: &[Type], piece: &mut BytesMut) -> Result<()> {
    if row.len() != types.len() {
        return Err(Error::Type(format!("{} values for {} columns", row.len(), types.len())));
    }
    piece.put_i16(i16::try_from(row.len()).map_err(|_| Error::Type("too many columns".into()))?);
    for (value, ty) in row.iter().zip(types) {
        let length_at = piece.len();
        piece.put_i32(-1);
        let done = value.to_sql(ty, piece).map_err(|e| Error::Type(e.to_string()))?;
        if let IsNull::No = done {
            let length = i32::try_from(piece.len() - length_at - 4)
                .map_err(|_| Error::Type("a value is longer than 2 GB".into()))?;
            piece[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}
