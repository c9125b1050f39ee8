//! The tables.

use super::{AT_ONCE, Row, Run};
use crate::{
    fetch::Fetched,
    stats::{median, mib, ms, verdict},
    table,
};

/// At most so many times its quiet p99 may a small query take beside large ones.
const SMALL_TARGET: f64 = 5.0;

fn size(bytes: usize) -> String {
    match bytes {
        0 => "-".to_owned(),
        1..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Answers and MiB in a second, or why there are none.
fn speed(fetched: &Fetched) -> String {
    let refused: Vec<String> =
        fetched.refused.iter().map(|(code, times)| format!("refused: {code} ({times} times)")).collect();
    let answers = fetched.answers as f64 / fetched.seconds;
    let mib = fetched.bytes as f64 / 1_048_576.0 / fetched.seconds;
    let wrong = (fetched.wrong > 0).then(|| format!("{} NOT WHOLE", fetched.wrong));
    let good = (fetched.answers > 0).then(|| format!("{answers:.1}/s, {mib:.1} MiB/s"));
    good.into_iter().chain(refused).chain(wrong).collect::<Vec<_>>().join("; ")
}

/// How fast large answers are.
pub(super) fn throughput(rows: &[Row]) {
    let many = format!("{AT_ONCE} at once");
    let bare = format!("bare, {AT_ONCE} at once");
    let heads = ["answer", "pods", "size", "one by one", "first byte", &many, "bare, one by one", &bare];
    let rows = rows.iter().map(|row| {
        vec![
            row.name.clone(),
            row.pods.to_string(),
            size(row.bytes),
            speed(&row.one.fetched),
            ms(row.one.fetched.first_byte_us),
            speed(&row.many.fetched),
            speed(&row.bare_one),
            speed(&row.bare_many),
        ]
    });
    table::print(&heads, &rows.collect::<Vec<_>>());
}

/// The small query beside them.
pub(super) fn small(rows: &[Row]) {
    let many = format!("p50, p99 beside {AT_ONCE}");
    let heads = ["namespaces beside", "quiet p50, p99", "p50, p99 beside 1", "times", &many, "times"];
    // Of the rows' together: in some seconds of so few small queries, the p99 of one row is twice that of another.
    let quiet = median(rows.iter().map(|row| row.quiet.p99_us));
    let mut worst: f64 = 0.0;
    let mut cells = Vec::new();
    for row in rows {
        let mut line = vec![row.name.clone(), format!("{}, {}", ms(row.quiet.p50_us), ms(row.quiet.p99_us))];
        for Run { small, .. } in [&row.one, &row.many] {
            let times = small.p99_us / quiet;
            worst = worst.max(times);
            let wrong = if small.wrong > 0 { format!(", {} failed", small.wrong) } else { String::new() };
            line.push(format!("{}, {}{wrong}", ms(small.p50_us), ms(small.p99_us)));
            line.push(format!("{times:.1} ({})", verdict(times <= SMALL_TARGET)));
        }
        cells.push(line);
    }
    table::print(&heads, &cells);
    println!(
        "small query's p99 beside large ones: at most {worst:.1} times its quiet p99, {} (target {SMALL_TARGET}): {}\n",
        ms(quiet),
        verdict(worst <= SMALL_TARGET)
    );
}

/// The most memory that each process had.
pub(super) fn peaks(rows: &[Row]) {
    println!("Peak RSS: one by one / {AT_ONCE} at once\n");
    let Some(first) = rows.first() else {
        return;
    };
    let mut heads = vec!["answer".to_owned(), format!("{AT_ONCE} answers are")];
    heads.extend(first.one.peaks.iter().map(|(name, _)| name.clone()));
    let cells = rows.iter().map(|row| {
        let mut line = vec![row.name.clone(), size(row.bytes * AT_ONCE)];
        let pairs = row.one.peaks.iter().zip(&row.many.peaks);
        line.extend(pairs.map(|((_, one), (_, many))| format!("{} / {}", mib(*one), mib(*many))));
        line
    });
    let cells: Vec<_> = cells.collect();
    table::print(&heads.iter().map(String::as_str).collect::<Vec<_>>(), &cells);
}
