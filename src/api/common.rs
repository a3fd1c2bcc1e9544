//! The small parts that several kinds share: references, durations, limits and rules.
//!
//! References name objects of the same namespace only; there is no field for another one.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time;

use kube::core::Rule;
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names of objects: a DNS subdomain.
pub const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Keys of a Secret.
pub const SECRET_KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// Text on one line: no control characters.
pub const ONE_LINE: &str = r"^[^\x00-\x1f\x7f]*$";
/// 64 hexadecimal digits.
pub const SHA256: &str = "^[0-9a-fA-F]{64}$";

/// Names an object of the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// Names one key of a Secret of the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeySelector {
    /// Name of the Secret, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY))]
    pub key: String,
}

/// A length of time, written as in Go: `90s`, `15m`, `26h`, `1h30m`; `0s` is none.
///
/// It is never negative, knows the units `h`, `m`, `s` and `ms`, and ends at ten years, so that
/// deadlines can be added up without overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// What a [`Duration`] looks like.
pub(super) const DURATION: &str = r"^([0-9]+(\.[0-9]{1,9})?(h|m|s|ms))+$";
const DURATION_LENGTH: usize = 32;
const DURATION_MAX: time::Duration = time::Duration::from_hours(10 * 366 * 24);
const UNITS: [(&str, u64); 4] =
    [("ms", 1_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)];

impl Duration {
    /// Whole hours, for defaults.
    pub(crate) const fn hours(hours: u64) -> Self {
        Self(time::Duration::from_hours(hours))
    }

    /// Whole minutes, for defaults.
    pub(crate) const fn minutes(minutes: u64) -> Self {
        Self(time::Duration::from_mins(minutes))
    }

    /// The length as the standard library counts it.
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// Whether it is `0s`.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

/// Text that is not a [`Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a duration: write numbers with the units h, m, s or ms, such as 90s, 26h or 1h30m, up to ten years"
)]
pub struct DurationError;

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.is_empty() || text.len() > DURATION_LENGTH {
            return Err(DurationError);
        }
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(DurationError)?;
            let (number, tail) = rest.split_at_checked(digits).ok_or(DurationError)?;
            let (unit, nanos) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit)).ok_or(DurationError)?;
            total = total.checked_add(scaled(number, *nanos)?).ok_or(DurationError)?;
            rest = tail.get(unit.len()..).ok_or(DurationError)?;
        }
        let total = time::Duration::from_nanos(total);
        if total > DURATION_MAX { Err(DurationError) } else { Ok(Self(total)) }
    }
}

/// `number` (digits, with or without a decimal fraction) times `nanos`.
fn scaled(number: &str, nanos: u64) -> Result<u64, DurationError> {
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(w, f)| (w, Some(f)));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) {
        return Err(DurationError);
    }
    let mut total =
        whole.parse::<u64>().ok().and_then(|value| value.checked_mul(nanos)).ok_or(DurationError)?;
    if let Some(fraction) = fraction {
        if !all_digits(fraction) || fraction.len() > 9 {
            return Err(DurationError);
        }
        let mut place = nanos;
        for digit in fraction.bytes() {
            place /= 10;
            total = total.checked_add(u64::from(digit - b'0') * place).ok_or(DurationError)?;
        }
    }
    Ok(total)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let mut text = String::new();
        if hours > 0 {
            write!(text, "{hours}h")?;
        }
        if minutes > 0 {
            write!(text, "{minutes}m")?;
        }
        let (rest, nanos) = (seconds % 60, self.0.subsec_nanos());
        if nanos > 0 {
            let fraction = format!("{nanos:09}");
            write!(text, "{rest}.{}s", fraction.trim_end_matches('0'))?;
        } else if rest > 0 || text.is_empty() {
            write!(text, "{rest}s")?;
        }
        f.write_str(&text)
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": DURATION_LENGTH, "pattern": DURATION})
    }
}

/// A path below a root: relative, and never out of it.
pub(super) fn relative_path() -> Rule {
    Rule::new("!self.startsWith('/') && !self.split('/').exists(part, part == '..')")
        .message("must be a relative path without `..`")
}

/// Exactly one of the fields `names`; further fields of the struct may be set or not.
pub(super) fn exactly_one_of(names: &[&str]) -> Rule {
    let all: Vec<String> = names.iter().map(|name| format!("has(self.{name})")).collect();
    let message = format!("set exactly one of {}", names.join(", "));
    Rule::new(format!("[{}].exists_one(set, set)", all.join(", "))).message(message.as_str())
}

/// Makes every property of a struct immutable but those named: one added later is immutable too.
///
/// Adding or removing an optional property is a change as well, which a rule on the property
/// itself would not see.
pub(super) fn immutable_except(mutable: &'static [&'static str]) -> impl Transform {
    move |schema: &mut Schema| {
        let optional: Vec<(String, bool)> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(name, _)| !mutable.contains(&name.as_str()))
            .map(|(name, property)| (name.clone(), property.get("default").is_none()))
            .collect();
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, optional) in optional {
            let optional = optional && !required.iter().any(|it| it.as_str() == Some(&name));
            let rule = immutable(&name, optional);
            // A rule of constant text always serializes.
            let _ = kube::core::validate(schema, rule);
        }
    }
}

fn immutable(name: &str, optional: bool) -> Rule {
    let equal = format!("self.{name} == oldSelf.{name}");
    let rule = if optional {
        format!("has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {equal})")
    } else {
        equal
    };
    let message = format!("{name} is immutable: create a new DatabaseRestore under another name instead");
    Rule::new(rule).message(message.as_str()).field_path(format!(".{name}"))
}

/// The schema of a Kubernetes type, without its long descriptions and with a maximum on every
/// string, list and map.
pub(super) fn bounded<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    schemars::transform::transform_subschemas(&mut bound, &mut schema);
    bound(&mut schema);
    schema.ensure_object().remove("description");
    schema
}

fn bound(schema: &mut Schema) {
    schemars::transform::transform_subschemas(&mut |inner: &mut Schema| bound(inner), schema);
    let limit = match schema.get("type") {
        Some(Value::String(kind)) => limit_of(kind, schema),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find_map(|kind| limit_of(kind, schema))
        }
        _ => None,
    };
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("description");
    if let Some((keyword, value)) = limit
        && !object.contains_key(keyword)
    {
        object.insert(keyword.to_owned(), value.into());
    }
}

fn limit_of(kind: &str, schema: &Schema) -> Option<(&'static str, u64)> {
    match kind {
        "string" if schema.get("format").is_none() && schema.get("enum").is_none() => {
            Some(("maxLength", 1024))
        }
        "array" => Some(("maxItems", 16)),
        "object" if schema.get("additionalProperties").is_some() => Some(("maxProperties", 32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis, written) in [
            ("0s", 0, "0s"),
            ("90s", 90_000, "1m30s"),
            ("168h", 604_800_000, "168h"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1.5h", 5_400_000, "1h30m"),
            ("250ms", 250, "0.25s"),
            ("1m0.05s", 60_050, "1m0.05s"),
            ("87840h", 316_224_000_000, "87840h"),
        ] {
            let read: Duration = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.get(), time::Duration::from_millis(millis), "{text}");
            assert_eq!(read.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(read), "{text} reads back");
        }
    }

    #[test]
    fn nonsense_is_no_duration() {
        for text in [
            "",
            " ",
            "5",
            "h",
            "-5m",
            "+5m",
            "1d",
            "5 m",
            "1h-30m",
            "1..5s",
            ".5s",
            "1.s",
            "1e3s",
            "NaNs",
            "infs",
            "1µs",
            "87841h",
            "99999999999999999999h",
            "18446744073709551615h",
            "1.0000000000s",
            "00000000000000000000000000000000001s",
            "5m\0",
            "５m",
            "1hh",
        ] {
            assert_eq!(text.parse::<Duration>(), Err(DurationError), "{text:?}");
        }
    }
}
