//! Values in PostgreSQL's binary formats: what a parameter becomes is decided by the type the server asks for.

use super::numeric;
use crate::error::{Error, Result};
use crate::value::Value;
use bytes::{BufMut, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

type Boxed = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match self {
            Value::Null => return Ok(IsNull::Yes),
            Value::Int(v) => put_int(*v, ty, out)?,
            Value::Real(v) => put_real(*v, ty, out)?,
            Value::Text(v) => put_text(v, ty, out)?,
            Value::Blob(v) if *ty == Type::BYTEA => out.put_slice(v),
            Value::Blob(_) => return Err(unfit("octets", ty)),
            Value::IntArray(v) => return put_ints(v, ty, out),
            Value::TextArray(v) => return put_texts(v, ty, out),
            Value::BlobArray(v) if *ty == Type::BYTEA_ARRAY => return v.to_sql(ty, out),
            Value::BlobArray(_) => return Err(unfit("an array of octets", ty)),
        }
        Ok(IsNull::No)
    }

    // Every type is looked at in `to_sql`, whose messages say more.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn unfit(value: &str, ty: &Type) -> Boxed {
    format!("the code binds {value} where PostgreSQL expects {ty}; CAST the parameter").into()
}

fn put_int(v: i64, ty: &Type, out: &mut BytesMut) -> Result<(), Boxed> {
    match *ty {
        Type::INT8 => out.put_i64(v),
        Type::INT4 => out.put_i32(i32::try_from(v).map_err(|_| unfit("a large integer", ty))?),
        Type::INT2 => out.put_i16(i16::try_from(v).map_err(|_| unfit("a large integer", ty))?),
        Type::BOOL => out.put_u8(u8::from(v != 0)),
        Type::FLOAT8 => out.put_f64(v as f64),
        Type::FLOAT4 => out.put_f32(v as f32),
        Type::NUMERIC => numeric::put(&v.to_string(), out),
        _ => return Err(unfit("an integer", ty)),
    }
    Ok(())
}

fn put_real(v: f64, ty: &Type, out: &mut BytesMut) -> Result<(), Boxed> {
    match *ty {
        Type::FLOAT8 => out.put_f64(v),
        Type::FLOAT4 => out.put_f32(v as f32),
        Type::NUMERIC if v.is_finite() => numeric::put(&v.to_string(), out),
        _ => return Err(unfit("a double", ty)),
    }
    Ok(())
}

fn put_text(v: &str, ty: &Type, out: &mut BytesMut) -> Result<(), Boxed> {
    match *ty {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
            out.put_slice(v.as_bytes());
        }
        Type::JSONB => put_jsonb(v, out),
        _ => return Err(unfit("text", ty)),
    }
    Ok(())
}

/// Binary jsonb is a version octet (1) and the text.
fn put_jsonb(v: &str, out: &mut BytesMut) {
    out.put_u8(1);
    out.put_slice(v.as_bytes());
}

fn put_ints(v: &[i64], ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
    match *ty {
        Type::INT8_ARRAY => v.to_sql(ty, out),
        Type::INT4_ARRAY => {
            v.iter().map(|v| i32::try_from(*v)).collect::<Result<Vec<_>, _>>()?.to_sql(ty, out)
        }
        Type::INT2_ARRAY => {
            v.iter().map(|v| i16::try_from(*v)).collect::<Result<Vec<_>, _>>()?.to_sql(ty, out)
        }
        _ => Err(unfit("an array of integers", ty)),
    }
}

fn put_texts(v: &[Option<String>], ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
    match *ty {
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::NAME_ARRAY => v.to_sql(ty, out),
        Type::JSONB_ARRAY => v.iter().map(|v| v.as_deref().map(Jsonb)).collect::<Vec<_>>().to_sql(ty, out),
        _ => Err(unfit("an array of text", ty)),
    }
}

#[derive(Debug)]
struct Jsonb<'a>(&'a str);

impl ToSql for Jsonb<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        put_jsonb(self.0, out);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }

    to_sql_checked!();
}

/// An integer of any width, a boolean, or a numeric without fraction.
pub(crate) struct Int(pub(crate) i64);

impl<'a> FromSql<'a> for Int {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Int, Boxed> {
        Ok(Int(match *ty {
            Type::INT8 => i64::from_sql(ty, raw)?,
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            Type::BOOL => bool::from_sql(ty, raw)?.into(),
            Type::OID => u32::from_sql(ty, raw)?.into(),
            _ => numeric::text(raw)?.parse()?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::INT2 | Type::BOOL | Type::OID | Type::NUMERIC)
    }
}

/// A number of any kind.
pub(crate) struct Real(pub(crate) f64);

impl<'a> FromSql<'a> for Real {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Real, Boxed> {
        Ok(Real(match *ty {
            Type::FLOAT8 => f64::from_sql(ty, raw)?,
            Type::FLOAT4 => f32::from_sql(ty, raw)?.into(),
            Type::NUMERIC => numeric::text(raw)?.parse()?,
            _ => Int::from_sql(ty, raw)?.0 as f64,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::FLOAT8 | Type::FLOAT4) || Int::accepts(ty)
    }
}

/// Text, or the text of JSON.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl<'a> FromSql<'a> for Text<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Text<'a>, Boxed> {
        let raw = match *ty {
            Type::JSONB => raw.get(1..).unwrap_or_default(),
            _ => raw,
        };
        Ok(Text(std::str::from_utf8(raw)?))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON | Type::JSONB
        )
    }
}

/// A bytea.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Bytes<'a>, Boxed> {
        Ok(Bytes(raw))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::BYTEA
    }
}

/// Column `column` as `T`, NULL as none.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<Option<T>> {
    row.try_get::<usize, Option<T>>(column).map_err(|error| {
        let ty = row.columns().get(column).map_or("absent", |c| c.type_().name());
        let cause = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
        Error::Type(format!("column {column} ({ty}) does not have the type asked for{cause}"))
    })
}

/// Column `column` in its own type.
pub(crate) fn value(row: &Row, column: usize) -> Result<Value> {
    let ty = row.columns().get(column).map_or(&Type::UNKNOWN, |c| c.type_());
    Ok(match ty {
        t if Int::accepts(t) && *t != Type::NUMERIC => get::<Int>(row, column)?.map(|v| v.0).into(),
        t if Real::accepts(t) => get::<Real>(row, column)?.map(|v| v.0).into(),
        t if Bytes::accepts(t) => get::<Bytes<'_>>(row, column)?.map(|v| v.0).into(),
        _ => get::<Text<'_>>(row, column)?.map(|v| v.0).into(),
    })
}
