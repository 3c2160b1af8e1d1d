//! What a scalar can be, by its spelling.

/// A whole number of YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    Positive(u64),
    Negative(i64),
}

/// Whether an unquoted scalar stands for nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// YAML 1.1's words too: nobody who writes `drop_params: yes` means a text.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "yes", "y", "on"]) {
        Some(true)
    } else if is_one_of(["false", "no", "n", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// `42`, `-7`, `1_000`, `0xff`, `0o17`, `0b101`; not `007`, which is octal to some.
pub(super) fn integer(text: &str) -> Option<Integer> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = |lower, upper| {
        digits
            .strip_prefix(lower)
            .or_else(|| digits.strip_prefix(upper))
    };
    let (radix, digits) = if let Some(digits) = prefixed("0x", "0X") {
        (16, digits)
    } else if let Some(digits) = prefixed("0o", "0O") {
        (8, digits)
    } else if let Some(digits) = prefixed("0b", "0B") {
        (2, digits)
    } else if digits.len() > 1 && digits.starts_with('0') {
        return None;
    } else {
        (10, digits)
    };
    let mut number: u64 = 0;
    // An underscore stands between two digits.
    let mut after_digit = false;
    for character in digits.chars() {
        if character == '_' && after_digit {
            after_digit = false;
            continue;
        }
        let digit = character.to_digit(radix)?;
        number = number
            .checked_mul(radix.into())?
            .checked_add(digit.into())?;
        after_digit = true;
    }
    if !after_digit {
        return None;
    }
    if negative {
        0_i64.checked_sub_unsigned(number).map(Integer::Negative)
    } else {
        Some(Integer::Positive(number))
    }
}

/// `1.5`, `2e-6`, `.inf`, `-.inf`, `.nan`; not what overflows.
pub(super) fn float(text: &str) -> Option<f64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (-1.0, unsigned),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match unsigned {
        ".inf" | ".Inf" | ".INF" => Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}
