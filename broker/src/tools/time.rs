//! Times as Kafka's tools take them: `2026-01-31T12:30:00.000+01:00` and `P1DT2H3M4.5S`.
//!
//! Must never read a clock.

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Milliseconds since 1970 (`Utils.getDateTime`); without a zone it is UTC.
pub(super) fn date_time(text: &str) -> Result<i64, String> {
    let wrong = || format!("Unparseable date: \"{text}\"");
    let no_time = "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format";
    let (date, time) = text.split_once('T').ok_or(no_time)?;
    let (time, zone_ms) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], zone_ms(&time[at..]).ok_or_else(wrong)?),
        None => (time, 0),
    };
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    let [year, month, day] = date.split('-').map(number).collect::<Result<Vec<_>, _>>()?[..] else {
        return Err(wrong());
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = clock.split(':').map(number).collect::<Result<Vec<_>, _>>()?[..] else {
        return Err(wrong());
    };
    let clock_ms = ((hour * 60 + minute) * 60 + second) * 1000 + number(fraction)?;
    Ok(days_since_1970(year, month, day) * DAY_MS + clock_ms - zone_ms)
}

fn zone_ms(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Some(0), |text| text.parse().ok())?;
    Some(sign * (hours * 60 + minutes) * 60_000)
}

/// Of the Gregorian calendar, counted from the year's first of March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Milliseconds of an ISO 8601 duration (`java.time.Duration.parse`).
pub(super) fn duration_ms(text: &str) -> Option<i64> {
    let upper = text.to_ascii_uppercase();
    let (sign, rest) = match upper.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, upper.as_str()),
    };
    let (days, clock) = match rest.strip_prefix('P')?.split_once('T') {
        Some((days, clock)) if !clock.is_empty() => (days, clock),
        Some(_) => return None,
        None => (rest.strip_prefix('P')?, ""),
    };
    if days.is_empty() && clock.is_empty() {
        return None;
    }
    let mut millis = 0.0;
    for (part, units) in
        [(days, &[('D', 86_400_000.0)][..]), (clock, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1000.0)])]
    {
        let mut rest = part;
        for (unit, ms) in units {
            if let Some((number, behind)) = rest.split_once(*unit) {
                millis += number.parse::<f64>().ok()? * ms;
                rest = behind;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    let millis = sign * millis;
    millis.is_finite().then_some(millis as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(date_time("1970-01-01T00:00:00.000"), Ok(0));
        assert_eq!(date_time("2000-03-01T00:00:00.000"), Ok(951_868_800_000));
        assert_eq!(date_time("2000-02-29T23:59:59.999Z"), Ok(951_868_799_999));
        assert_eq!(date_time("1970-01-01T02:00:00.000+02:00"), Ok(0));
        assert!(date_time("yesterday").is_err());
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration_ms("P1D"), Some(DAY_MS));
        assert_eq!(duration_ms("PT1H2M3.5S"), Some(3_723_500));
        assert_eq!(duration_ms("-PT1S"), Some(-1000));
        assert_eq!(duration_ms("P1DT"), None);
        assert_eq!(duration_ms("1D"), None);
    }
}
