//! What an answer means: taken, refused for good, or not now.

use event::Delivery;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1_000;

/// Returns what a status means. `retry_after` is the header of that name, `now_s` the time in Unix
/// seconds that a date in it is compared with.
pub(crate) fn delivery(status: u16, retry_after: Option<&str>, now_s: u64) -> Delivery {
    let answered = format!("answered {status}");
    match status {
        200..=299 => Delivery::Taken,
        300..=399 => Delivery::Refused(format!("{answered}; redirects are not followed")),
        // It was too slow, or we were too early: both may pass.
        408 | 425 | 429 => again(answered, retry_after, now_s),
        400..=499 => Delivery::Refused(answered),
        _ => again(answered, retry_after, now_s),
    }
}

fn again(reason: String, retry_after: Option<&str>, now_s: u64) -> Delivery {
    let after_ms = retry_after.and_then(|text| wait_ms(text.trim(), now_s));
    Delivery::Failed { reason, after_ms }
}

/// Reads seconds, or a date as HTTP writes it.
fn wait_ms(text: &str, now_s: u64) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(SECOND_MS));
    }
    Some(date_s(text)?.saturating_sub(now_s).saturating_mul(SECOND_MS))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date_s(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut words = rest.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let fits = (1970..=9999).contains(&year)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61
        && words.next().is_none();
    if !fits {
        return None;
    }
    // Days since 1970: years begin in March, so that the leap day is the last one.
    let (shifted_year, shifted_month) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (153 * shifted_month + 2) / 5
        + day
        - 1;
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(delivery: Delivery) -> Option<u64> {
        match delivery {
            Delivery::Failed { after_ms, .. } => after_ms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(delivery(204, None, 0), Delivery::Taken);
        for status in [301, 307, 400, 401, 404, 410, 413] {
            let refused = delivery(status, Some("1"), 0);
            assert!(matches!(refused, Delivery::Refused(_)), "{status}: {refused:?}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(after(delivery(status, None, 0)), None, "{status}");
        }
    }

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date() {
        assert_eq!(after(delivery(503, Some("120"), 0)), Some(120_000));
        assert_eq!(date_s("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(date_s("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(after(delivery(429, date, 784_111_770)), Some(7_000));
        assert_eq!(after(delivery(429, date, 784_111_999)), Some(0));
        for nonsense in ["soon", "-5", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994"] {
            assert_eq!(after(delivery(503, Some(nonsense), 0)), None, "{nonsense}");
        }
    }
}
