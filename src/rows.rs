//! Reading rows of a database, and writing several or none. Each row that is read has one column, a text:
//! SQLite writes JSON where there is more to say. So one reader serves every query, where a type for each
//! would be compiled for each.

use serde_json::Value;
use worker::js_sys::{Function, Reflect};
use worker::wasm_bindgen::closure::ScopedClosure;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{Result, SqlStorage, SqlStorageValue, Storage};

/// What the platform calls in a transaction.
type Run<'a> = dyn FnMut() -> std::result::Result<(), JsValue> + 'a;

/// Carries out all of `writes`, or none of it where it fails.
///
/// # Errors
/// That of `writes`, or where the storage fails.
pub fn transaction(storage: &Storage, writes: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut writes = Some(writes);
    let mut failure = None;
    let mut run = || {
        let written = writes.take().map_or(Ok(()), |writes| writes());
        written.map_err(|error| {
            failure = Some(error);
            // What is thrown makes the storage take back what was written.
            JsValue::from("the writes failed")
        })
    };
    // The `worker` crate has only transactions that wait, and between writes that belong together
    // nothing may. A panic in it is thrown as well, so that nothing half-written stays.
    let run = ScopedClosure::<Run<'_>>::borrow_mut_assert_unwind_safe(&mut run);
    let storage = storage.as_raw();
    let done = Reflect::get(storage, &"transactionSync".into())
        .and_then(JsCast::dyn_into::<Function>)
        .and_then(|transaction| transaction.call1(storage, run.as_js_value()));
    drop(run);
    match (failure, done) {
        (Some(error), _) => Err(error),
        (None, done) => Ok(done.map(drop)?),
    }
}

/// The one column of each row.
///
/// # Errors
/// Where the storage fails, or a row holds no text.
pub fn texts(sql: &SqlStorage, query: &str, values: Vec<SqlStorageValue>) -> Result<Vec<String>> {
    let rows = sql.exec(query, values)?.raw();
    rows.map(|row| match row?.into_iter().next() {
        Some(SqlStorageValue::String(text)) => Ok(text),
        _ => Err(worker::Error::RustError("a row without a text".to_owned())),
    })
    .collect()
}

/// The one column of each row, JSON.
///
/// # Errors
/// Where the storage fails, or a row holds no JSON.
pub fn values(sql: &SqlStorage, query: &str, values: Vec<SqlStorageValue>) -> Result<Vec<Value>> {
    let texts = texts(sql, query, values)?;
    let read = |text: String| Ok(serde_json::from_slice(text.as_bytes())?);
    texts.into_iter().map(read).collect()
}

/// # Errors
/// Where a number is larger than SQLite's.
pub fn integer(value: u64) -> Result<SqlStorageValue> {
    let value =
        i64::try_from(value).map_err(|error| worker::Error::RustError(error.to_string()))?;
    SqlStorageValue::try_from_i64(value)
}

/// A member of a JSON object, as a text; empty where there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A member of a JSON object; null where there is none.
pub fn member(value: &Value, name: &str) -> Value {
    value.get(name).cloned().unwrap_or_default()
}

/// A member of a JSON object, as a number; none where there is none.
pub fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

/// A value of this type, from a JSON value. By way of a text: a derived reader is compiled once for each kind of
/// input, and all others read bytes.
///
/// # Errors
/// Where it is of another form.
pub fn read<T: serde::de::DeserializeOwned>(value: &Value) -> serde_json::Result<T> {
    serde_json::from_slice(value.to_string().as_bytes())
}
