//! Time zones, as the platform knows them: no table of them is in the Wasm.

use automation::schedule::Zones;
use worker::js_sys::{Array, Date, Function, Object, Reflect, global};
use worker::wasm_bindgen::{JsCast, JsValue};

/// The zones of `Intl`.
pub struct PlatformZones;

impl Zones for PlatformZones {
    fn offset(&self, zone: &str, at: u64) -> Option<i64> {
        if zone == "UTC" {
            return Some(0);
        }
        let written = written(zone, at).ok()?;
        offset_in(&written)
    }
}

/// A time as `Intl` writes it, with how far the zone is ahead at its end: `11/21/2026, GMT+01:00`.
fn written(zone: &str, at: u64) -> Result<String, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"timeZone".into(), &zone.into())?;
    Reflect::set(&options, &"timeZoneName".into(), &"longOffset".into())?;
    let intl = Reflect::get(&global(), &"Intl".into())?;
    let class: Function = Reflect::get(&intl, &"DateTimeFormat".into())?.dyn_into()?;
    let arguments = Array::of2(&"en-US".into(), &options);
    let format = Reflect::construct(&class, &arguments)?;
    let write: Function = Reflect::get(&format, &"format".into())?.dyn_into()?;
    let date = Date::new(&(at as f64).into());
    let written = write.call1(&format, &date)?;
    written.as_string().ok_or(written)
}

/// Milliseconds from `GMT`, `GMT+05:30` or `GMT-00:53:28`.
fn offset_in(written: &str) -> Option<i64> {
    let (_, offset) = written.rsplit_once("GMT")?;
    let (sign, digits) = match offset.split_at_checked(1) {
        None => return Some(0),
        Some(("+", digits)) => (1, digits),
        Some(("-" | "\u{2212}", digits)) => (-1, digits),
        Some(_) => return None,
    };
    let mut parts = digits.split(':').map(|part| part.parse::<i64>().ok());
    let mut next = |otherwise| parts.next().unwrap_or(Some(otherwise));
    let (hours, minutes, seconds) = (next(0)?, next(0)?, next(0)?);
    Some(sign * ((hours * 60 + minutes) * 60 + seconds) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read() {
        let hour = 60 * 60 * 1000;
        for (written, offset) in [
            ("11/21/2026, GMT", Some(0)),
            ("11/21/2026, GMT+01:00", Some(hour)),
            ("11/21/2026, GMT-03:30", Some(-hour * 7 / 2)),
            ("1/1/1800, GMT+00:53:28", Some((53 * 60 + 28) * 1000)),
            ("11/21/2026", None),
            ("GMT?", None),
            ("GMT+x", None),
        ] {
            assert_eq!(offset_in(written), offset, "{written}");
        }
    }
}
