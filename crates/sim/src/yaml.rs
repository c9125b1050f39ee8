//! Bodies in YAML, read within bounds.

use serde_json::Value;

/// Twice as deep as any kind is; the parser of YAML takes much more of the stack for each level than that of JSON.
const MAX_DEPTH: usize = 48;
/// Aliases make much out of little: so many bytes may be repeated, and so many pieces be made of them.
const MAX_ANCHORED_BYTES: usize = 16 * 1024;
const MAX_REPEATED: usize = 2_000;

/// Reads the first document, as Go does, or tells in a line what is wrong with it.
pub(crate) fn parse(body: &[u8]) -> Result<Value, String> {
    std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_recorded_anchor_bytes: MAX_ANCHORED_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPEATED },
    };
    let mut rest = body;
    let document = serde_saphyr::read_with_options(&mut rest, options).next();
    // The formatter for users knows nothing of the library's options; what follows the first line shows the text.
    document.unwrap_or(Ok(Value::Null)).map_err(|error| {
        let told = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        told.lines().next().unwrap_or_default().to_owned()
    })
}
