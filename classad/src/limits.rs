//! Every bound of the language, in one place. What exceeds a bound while parsing is a
//! [`ParseError`](crate::ParseError) that names it; while evaluating it is the ERROR value.

/// Longest text of one expression, in bytes.
pub const EXPR_BYTES_MAX: usize = 64 * 1024;

/// Longest text of one ad, in bytes, in any syntax.
pub const AD_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting of one expression. Chains of `&&` and of `||` count as one level however long;
/// every other operator counts. Parsing, evaluating, printing and dropping recurse at most this
/// deep over one expression, which fits a 2 MiB stack in a debug build.
pub const EXPR_DEPTH_MAX: u16 = 256;

/// Attribute references that may be under evaluation at the same time, each reached from the last.
pub const EVAL_ATTRS_MAX: usize = 400;

/// Nodes that may be under evaluation at the same time, over all attributes being evaluated; a call
/// counts for four.
pub const EVAL_DEPTH_MAX: u16 = 1000;

/// Deepest evaluation in which `eval()` still parses: parsing needs stack of its own.
pub const EVAL_TEXT_DEPTH_MAX: u16 = 250;

/// Work that one evaluation may cost: nodes visited, and results made (one step a 64 bytes).
pub const EVAL_STEPS_MAX: u32 = 1_000_000;

/// Longest string that evaluation may make, in bytes.
pub const STRING_BYTES_MAX: usize = 1024 * 1024;

/// Longest list that evaluation may make, and most items that one result may hold in all.
pub const LIST_ITEMS_MAX: usize = 65_536;

/// Deepest nesting of lists and ads in a result.
pub const RESULT_DEPTH_MAX: u16 = 32;

/// Compiled size that one regular expression may have, in bytes.
pub const REGEX_BYTES_MAX: usize = 256 * 1024;
