//! JSON laid out for people (`_pretty=true`): white space alone changes, every literal stays as it was.

/// Spaces for each level.
const INDENT: usize = 2;

/// Lays out JSON text that has been read before. Empty objects and arrays stay on one line.
pub fn pretty(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    let mut depth: usize = 0;
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'"' => {
                out.push(byte);
                while let Some(inner) = rest.next() {
                    out.push(inner);
                    match inner {
                        b'\\' => out.extend(rest.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'{' | b'[' => {
                out.push(byte);
                while rest.next_if(u8::is_ascii_whitespace).is_some() {}
                if let Some(end) = rest.next_if(|next| matches!(next, b'}' | b']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => out.push(byte),
        }
    }
    out
}

fn line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * INDENT));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_alone_changes() {
        let cases = [
            ("{}", "{}"),
            ("{ }", "{}"),
            (
                r#"{"a":1E-22,"b":[1.10,{"c":"x, \"{y}\": z"}],"d":[]}"#,
                "{\n  \"a\": 1E-22,\n  \"b\": [\n    1.10,\n    {\n      \"c\": \"x, \\\"{y}\\\": z\"\n    }\n  ],\n  \"d\": []\n}",
            ),
            ("[\n1 ,\t2 ]", "[\n  1,\n  2\n]"),
        ];
        for (text, wanted) in cases {
            assert_eq!(String::from_utf8_lossy(&pretty(text.as_bytes())), wanted, "{text}");
            assert_eq!(pretty(wanted.as_bytes()), wanted.as_bytes(), "once is enough");
        }
    }
}
