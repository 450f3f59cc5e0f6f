//! Tables and figures of a report.

use std::fmt::Write;

use super::escaped;
use super::plots::COLOURS;
use crate::output::evaluation::Table;

/// A table below its title.
pub fn write_table(body: &mut String, t: &Table) -> std::fmt::Result {
    writeln!(body, "<h2>{}</h2>\n<div class=\"scroll\"><table>\n<tr>", escaped(&t.title))?;
    for head in &t.heads {
        write!(body, "<th scope=\"col\">{}</th>", escaped(head))?;
    }
    body.push_str("</tr>\n");
    for row in &t.rows {
        body.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            match i {
                0 => write!(body, "<th scope=\"row\">{}</th>", escaped(cell))?,
                _ => write!(body, "<td>{}</td>", escaped(cell))?,
            }
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</table></div>\n");
    Ok(())
}

/// A plot with its title and a key of the series by colour.
pub fn figure(svg: &str, caption: &str, key: &[(usize, &str)]) -> String {
    let key: String = key
        .iter()
        .map(|(place, name)| {
            format!("<span class=\"key\"><i class=\"s{}\"></i>{}</span>", place % COLOURS, escaped(name))
        })
        .collect();
    format!("<figure>\n{svg}<figcaption>{}<br>{key}</figcaption>\n</figure>\n", escaped(caption))
}
