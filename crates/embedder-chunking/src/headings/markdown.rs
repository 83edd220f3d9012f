//! Headings of Markdown: `# ATX`, and setext ones underlined with `=` or `-`; neither counts in fenced code, in
//! indented code or in front matter.

use super::{Heading, title};
use crate::lines::{Fence, indent_columns};
use crate::text::Text;

/// From this indentation on a line is code.
const CODE_INDENT_COLUMNS: u32 = 4;

pub(super) fn headings(text: &Text<'_>) -> Vec<Heading> {
    let mut headings = Vec::new();
    let mut fence = Fence::default();
    // The line above, if it is text that an underline would make a heading.
    let mut paragraph: Option<&[u8]> = None;
    for line in front_matter_lines(text)..text.line_count() {
        let bytes = text.line(line);
        if fence.holds(bytes) || indent_columns(bytes) >= CODE_INDENT_COLUMNS {
            paragraph = None;
            continue;
        }
        let trimmed = bytes.trim_ascii();
        if let Some((level, name)) = atx(trimmed) {
            headings.extend(heading(line, level, name));
            paragraph = None;
        } else if let (Some(above), Some(level)) = (paragraph, underline(trimmed)) {
            headings.extend(heading(line - 1, level, above));
            paragraph = None;
        } else {
            paragraph = is_paragraph(trimmed).then_some(trimmed);
        }
    }
    headings
}

fn heading(line: usize, level: u32, name: &[u8]) -> Option<Heading> {
    let title = title(name);
    (!title.is_empty()).then_some(Heading { line, level, title })
}

/// How many lines of YAML or TOML metadata the document starts with.
fn front_matter_lines(text: &Text<'_>) -> usize {
    let fence = match text.line_count() {
        0 => return 0,
        _ => text.line(0),
    };
    if fence != b"---" && fence != b"+++" {
        return 0;
    }
    let closing = (1..text.line_count()).find(|&line| text.line(line) == fence);
    closing.map_or(0, |line| line + 1)
}

/// Level and text of `## Heading ##`.
fn atx(line: &[u8]) -> Option<(u32, &[u8])> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let hashes = line.iter().take_while(|&&byte| byte == b'#').count();
    let (level, rest) = (u32::try_from(hashes).ok()?, &line[hashes..]);
    let spaced = rest.first().is_none_or(u8::is_ascii_whitespace);
    if !(1..=6).contains(&level) || !spaced {
        return None;
    }
    let name = rest.trim_ascii();
    let closing = name.iter().rev().take_while(|&&byte| byte == b'#').count();
    let open = &name[..name.len() - closing];
    let closed = closing > 0 && open.last().is_none_or(u8::is_ascii_whitespace);
    Some((level, if closed { open } else { name }))
}

/// Level of the heading that this line underlines.
fn underline(line: &[u8]) -> Option<u32> {
    let all = |byte: u8| !line.is_empty() && line.iter().all(|&own| own == byte);
    if all(b'=') {
        Some(1)
    } else if all(b'-') {
        Some(2)
    } else {
        None
    }
}

/// Whether a line is running text, not a list item, quotation, table row or HTML.
fn is_paragraph(line: &[u8]) -> bool {
    let marker = matches!(
        line,
        [b'-' | b'*' | b'+', b' ' | b'\t', ..] | [b'>' | b'|' | b'<', ..]
    );
    !line.is_empty() && !marker
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn sections_nest_by_level() {
        check(
            "a.md",
            "\u{feff}# Title #\nText.\n\n## One\na\n### Deep\nb\n## Two\nc\n# Next\n",
            "1-9 heading Title\n4-7 heading Title.One\n6-7 heading Title.One.Deep\n8-9 heading Title.Two\n10-10 heading Next\n",
        );
    }

    #[test]
    fn setext_headings_are_underlined_text() {
        check(
            "a.md",
            "Title\n=====\n\nPart\n---\ntext\n\n---\n- item\n---\n| a |\n---\n",
            "1-12 heading Title\n4-12 heading Title.Part\n",
        );
    }

    #[test]
    fn code_and_front_matter_hold_no_headings() {
        check(
            "a.mdx",
            "---\ntitle: x\n# comment\n---\n# Real\n```sh\n# not\n```\n~~~~\n```\n# nor this\n~~~~\n    # indented\n#hashtag\n####### seven\n",
            "5-15 heading Real\n",
        );
    }

    #[test]
    fn line_ends_of_any_kind_end_a_heading() {
        check(
            "a.md",
            "# One\r\ntext\r\n\r\nTwo\r\n---\r\n",
            "1-5 heading One\n4-5 heading One.Two\n",
        );
    }
}
