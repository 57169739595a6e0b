//! Tables: columns as wide as their widest cell.
//! In: a head and rows. Out: lines.
//! Never: cuts a cell; control characters, which could move the cursor, are shown escaped.
//! Start at [`Table`].

use super::out;

pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|h| (*h).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|c| harmless(&c)).collect());
    }

    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| self.rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0))
            .collect();
        let print = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
            cells.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(print).collect()
    }

    pub fn print(&self) {
        self.lines().iter().for_each(out::line);
    }
}

/// Text from a server, safe to show in a terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["ID", "Title"]);
        table.row(["INC-1042".to_owned(), "a".to_owned()]);
        table.row(["ü".to_owned(), "b\u{1b}[2J".to_owned()]);
        assert_eq!(table.lines(), ["ID        Title", "INC-1042  a", "ü         b\\u{1b}[2J"]);
    }
}
