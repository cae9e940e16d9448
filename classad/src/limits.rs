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

/// Work that one evaluation may cost: nodes visited, items gone through, bytes read and made, by
/// what they cost in time. A step is worth at most about half a microsecond.
pub const EVAL_STEPS_MAX: u32 = 1_000_000;

/// Longest string that evaluation may make, in bytes.
pub const STRING_BYTES_MAX: usize = 1024 * 1024;

/// Longest list that evaluation may make, and most items that one result may hold in all.
pub const LIST_ITEMS_MAX: usize = 65_536;

/// Deepest nesting of lists and ads in a result.
pub const RESULT_DEPTH_MAX: u16 = 32;

/// Bytes that the strings of one result may have in all.
pub const RESULT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest text that `formatTime()` makes, in bytes.
pub const FORMATTED_BYTES_MAX: usize = 1024;

/// Compiled size that one regular expression may have, in bytes.
pub const REGEX_BYTES_MAX: usize = 128 * 1024;

/// Compiled size up to which a constant regular expression stays compiled, in bytes; a larger one
/// is compiled in every evaluation.
pub const REGEX_KEPT_BYTES_MAX: usize = 16 * 1024;

/// Constant regular expressions that one expression keeps compiled, the first ones; further ones
/// are compiled in every evaluation.
pub const REGEXES_KEPT_MAX: usize = 16;

/// Most errors of syntax that are reported of one text.
pub const SYNTAX_ERRORS_MAX: usize = 20;
