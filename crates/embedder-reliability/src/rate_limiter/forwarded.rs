//! The elements of a `Forwarded` header (RFC 7239, section 4).

use super::client_address::OWS;

/// Splits at a separator outside quoted strings, the last part first.
///
/// What a client sent stands to the left of what a proxy appended, so it is the right that must be read as it was meant,
/// whatever quotation mark is left open before it. Going left, an escaped quotation mark cannot be told from another; a
/// part with a backslash is refused by [`value_of_for`].
pub(super) fn split_from_right(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let separator = text.char_indices().rev().find(|&(_, character)| {
            quoted ^= character == '"';
            !quoted && character == separator
        });
        let part = match separator {
            Some((at, character)) => {
                rest = Some(&text[..at]);
                &text[at + character.len_utf8()..]
            }
            None => {
                rest = None;
                text
            }
        };
        Some(part)
    })
}

/// Returns the value of the parameter `for` of an element: what is in the quotation marks, if it has any.
///
/// Every parameter must be well-formed, and `for` be there once.
pub(super) fn value_of_for(element: &str) -> Option<&str> {
    let mut found = None;
    for pair in split_from_right(element, ';') {
        let (name, value) = pair.trim_matches(OWS).split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let value = unquoted(value)?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    found
}

/// The text of a token or a quoted string.
fn unquoted(value: &str) -> Option<&str> {
    if is_token(value) {
        return Some(value);
    }
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    text.bytes().all(is_plain).then_some(text)
}

/// Whether a byte may stand in a quoted string as it is. Bytes of other characters may, by an old rule.
fn is_plain(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && !matches!(byte, b'"' | b'\\' | 0x7f))
}

/// Whether a text is a token of HTTP (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_split_from_the_right_outside_quotes() {
        for (value, expected) in [
            ("a", vec!["a"]),
            ("a, b,c", vec!["c", " b", "a"]),
            ("", vec![""]),
            (",", vec!["", ""]),
            (r#"for="a,b", c"#, vec![" c", r#"for="a,b""#]),
            // A mark that a client left open ends where the text does.
            (r#"for=", for=c"#, vec![" for=c", "for=\""]),
            (
                r#"for="x, for="[::1]""#,
                vec![r#" for="[::1]""#, r#"for="x"#],
            ),
        ] {
            let parts: Vec<&str> = split_from_right(value, ',').collect();
            assert_eq!(parts, expected, "{value}");
        }
    }

    #[test]
    fn the_value_of_for_is_found_in_a_well_formed_element() {
        for (element, expected) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            (" FOR=192.0.2.1\t", Some("192.0.2.1")),
            ("for=192.0.2.1;proto=http;by=203.0.113.4", Some("192.0.2.1")),
            ("proto=http; for=_hidden", Some("_hidden")),
            (
                r#"for="[2001:db8::1]:4711";host="a;b=c""#,
                Some("[2001:db8::1]:4711"),
            ),
            (r#"for="""#, Some("")),
            ("for=", None),
            ("proto=http", None),
            ("", None),
            ("for", None),
            ("for=a;for=b", None),
            ("for=a;", None),
            ("for = a", None),
            // What is no token must be quoted.
            ("for=192.0.2.1:80", None),
            ("for=[::1]", None),
            (r#"for="a"#, None),
            (r#"for=a""#, None),
            (r#"for="a"b"#, None),
            (r#"for="a\"b""#, None),
            ("for=\"a\u{7f}\"", None),
            (r#"for=a;b="c"d""#, None),
        ] {
            assert_eq!(value_of_for(element), expected, "{element}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            for part in split_from_right(&text, ',') {
                let _ = value_of_for(part);
            }
        }

        #[test]
        fn near_misses_do_not_panic(text in r#"[for=",;\\ \t:a1]{0,40}"#) {
            for part in split_from_right(&text, ',') {
                let _ = value_of_for(part);
            }
        }

        #[test]
        fn what_a_proxy_appends_is_found_behind_anything(text in "\\PC*") {
            let value = format!("{text}, for=\"[2001:db8::1]:80\";proto=https");
            let last = split_from_right(&value, ',').next().unwrap();
            prop_assert_eq!(value_of_for(last), Some("[2001:db8::1]:80"));
        }

        #[test]
        fn parts_joined_again_are_the_text(text in r#"[a",]{0,40}"#) {
            let mut parts: Vec<&str> = split_from_right(&text, ',').collect();
            parts.reverse();
            prop_assert_eq!(parts.join(","), text);
        }
    }
}
