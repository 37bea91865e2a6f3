//! `awslogs-datetime-format`: Python's strftime codes, as the regular expression that a new event's line matches.
//!
//! Source: Docker's documentation of the awslogs log driver, "awslogs-datetime-format".

/// The regular expression of a format. A code that the log driver does not know matches itself.
pub(super) fn pattern(format: &str) -> String {
    let mut pattern = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        let code = if letter == '%' { letters.next() } else { None };
        match code {
            None => pattern.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
            Some('%') => pattern.push('%'),
            Some(code) => match of_code(code) {
                Some(known) => pattern.push_str(known),
                None => {
                    pattern.push('%');
                    pattern.push_str(&regex::escape(code.encode_utf8(&mut [0; 4])));
                }
            },
        }
    }
    pattern
}

fn of_code(code: char) -> Option<&'static str> {
    Some(match code {
        'a' => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
        'A' => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
        'b' => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
        'B' => "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
        'c' => r"[A-Za-z]{3} [A-Za-z]{3} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}",
        'd' | 'm' | 'H' | 'I' | 'M' | 'S' | 'y' | 'U' | 'W' => r"\d{2}",
        'f' => r"\d{6}",
        'j' => r"\d{3}",
        'L' => r"\.\d{3}",
        'p' => "[AP]M",
        'w' => r"[0-6]",
        'x' => r"\d{2}/\d{2}/\d{2}",
        'X' => r"\d{2}:\d{2}:\d{2}",
        'Y' => r"\d{4}",
        'z' => r"[+-]\d{4}",
        'Z' => r"[A-Z]{1,4}",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a_line_that_begins_with_the_format_is_matched_and_its_continuation_is_not() {
        for (format, line) in [
            ("%Y-%m-%d %H:%M:%S%L", "2026-11-21 12:14:00.123 started"),
            ("[%b %d, %Y %H:%M:%S]", "[Nov 21, 2026 12:14:00] started"),
            ("%a %B %y %p %j %z 100%%", "Sat November 26 PM 325 +0100 100%"),
        ] {
            let pattern = Regex::new(&pattern(format)).unwrap();
            assert!(pattern.is_match(line), "{pattern}");
            assert!(!pattern.is_match("    at java.lang.Thread.run"), "{pattern}");
        }
        assert_eq!(pattern("%Q."), r"%Q\.");
    }
}
