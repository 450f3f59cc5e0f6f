//! Reports as one HTML file: no script, no network, no fonts; light or dark as the reader's system is.

mod advice;
mod evaluation;
mod plots;
mod tables;

pub use advice::advice;
pub use evaluation::evaluation;

/// Colours of series; the plots name them by stand-ins, so that a page can be light or dark.
const STYLE: &str = include_str!("report.css");

/// A whole page around `body`, which is HTML already.
fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         {body}</main>\n</body>\n</html>\n"
    )
}

/// Text as it may stand between tags and in attributes. Control characters, which HTML forbids, become a sign
/// that something was there.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escaped("<a href=\"x\" b='y'>&\u{0}"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\u{fffd}"
        );
        assert!(page("<script>", "").contains("<h1>&lt;script&gt;</h1>"));
    }
}
