//! HTCondor's `classad_eval`: its command line in, what it prints and its exit code out, as its
//! manual page and the tool of version 25 have them. Pure: files, the time and chance are handed
//! in.
//!
//! Arguments take effect from left to right. One that reads as an ad, or does so in brackets,
//! changes the context; any other is an expression, before whose value the context is printed if
//! it changed since it was last printed. A file that is read later does not count as a change.

use classad::{ClassAd, Expr, Scope};

use super::source::end_of_ad;

const USAGE: &str = "\
Usage: {program} [OPTION | AD | ASSIGNMENT | EXPRESSION]…

Evaluates ClassAd expressions. Ads and assignments change the ClassAd in which they are evaluated.

Options, which count for what stands behind them:
  -file FILE, -my-file FILE, -ad-file FILE
                     begin again with the ClassAd of a file
  -target-file FILE  the ClassAd of the other side
  -quiet             do not print the ClassAd before the results
  -debug             is accepted, and changes nothing
  -help              print this and end
";

/// What the tool leaves behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub out: String,
    pub err: String,
    pub code: u8,
}

/// What is not on the command line.
pub struct Around<'a> {
    /// As it was called.
    pub program: &'a str,
    /// The text of a file, or why there is none.
    pub read: &'a dyn Fn(&str) -> Result<String, String>,
    pub now_secs: i64,
    pub seed: u64,
}

/// An end before the last argument: a complaint and the exit code.
struct Stop(String, u8);

/// An option that was used wrongly, and `-help`.
const CODE_USAGE: u8 = 255;
/// What cannot be read.
const CODE_TEXT: u8 = 1;

/// Runs the tool.
pub fn run(args: &[String], around: &Around<'_>) -> Ended {
    let mut session = Session {
        around,
        my: ClassAd::new(),
        target: None,
        changed: true,
        quiet: false,
        out: String::new(),
    };
    let (err, code) = match session.arguments(args) {
        Ok(()) => (String::new(), 0),
        Err(Stop(complaint, code)) => (complaint, code),
    };
    Ended {
        out: session.out,
        err,
        code,
    }
}

struct Session<'a> {
    around: &'a Around<'a>,
    my: ClassAd,
    target: Option<ClassAd>,
    /// Whether `my` was changed by an argument since it was printed.
    changed: bool,
    quiet: bool,
    out: String,
}

impl Session<'_> {
    fn arguments(&mut self, args: &[String]) -> Result<(), Stop> {
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "-quiet" => self.quiet = true,
                "-debug" => {}
                "-help" => {
                    let usage = USAGE.replace("{program}", self.around.program);
                    self.out.push_str(&usage);
                    return Err(Stop(String::new(), CODE_USAGE));
                }
                "-file" | "-my-file" | "-ad-file" => self.my = self.file(arg, args.next())?,
                "-target-file" => self.target = Some(self.file(arg, args.next())?),
                text => self.text(text)?,
            }
        }
        Ok(())
    }

    fn file(&self, option: &str, path: Option<&String>) -> Result<ClassAd, Stop> {
        let program = self.around.program;
        let Some(path) = path else {
            let complaint = format!("{program}: {option} requires an argument\n");
            return Err(Stop(complaint, CODE_USAGE));
        };
        let text = (self.around.read)(path)
            .map_err(|reason| Stop(format!("{program}: {path}: {reason}\n"), CODE_TEXT))?;
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        // A list of ads, as `condor_q -long:new` prints it: the first of them counts.
        let listed = text.strip_prefix("{\n");
        let ads = listed
            .filter(|_| text.ends_with("\n}\n"))
            .unwrap_or(text.as_str());
        ad(ads).ok_or_else(|| {
            let complaint = format!("Unable to turn file '{path}' into a ClassAd.\n");
            Stop(complaint, CODE_TEXT)
        })
    }

    fn text(&mut self, text: &str) -> Result<(), Stop> {
        if let Some(ad) = ad(text) {
            self.my.merge(&ad);
            self.changed = true;
            return Ok(());
        }
        if std::mem::take(&mut self.changed) && !self.quiet {
            self.line(&self.my.to_string());
        }
        let Some(expr) = expr(text) else {
            let complaint = format!("Unable to turn '{text}' into a ClassAd or an expression.\n");
            return Err(Stop(complaint, CODE_TEXT));
        };
        let scope = Scope::new(&self.my)
            .now(self.around.now_secs)
            .seed(self.around.seed);
        let value = match &self.target {
            Some(target) => scope.target(target).eval(&expr),
            None => scope.eval(&expr),
        };
        self.line(&value.to_string());
        Ok(())
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }
}

/// The ad with which a text begins, whatever stands behind it; or that of the text in brackets.
fn ad(text: &str) -> Option<ClassAd> {
    let first = |text: &str| {
        let end = end_of_ad(text).unwrap_or(text.len());
        ClassAd::parse(&text[..end]).ok()
    };
    first(text).or_else(|| first(&format!("[{text}]")))
}

/// The text as an expression. The reference takes semicolons behind it, and whatever follows a
/// closing bracket; but a `//` comment must end before the text does.
fn expr(text: &str) -> Option<Expr> {
    match Expr::parse(text) {
        Ok(expr) => {
            let in_comment = text.contains("//") && Expr::parse(&format!("{text})")).is_ok();
            (!in_comment).then_some(expr)
        }
        Err(error) => {
            let (before, behind) = text.split_at_checked(error.offset)?;
            let rest = behind.trim_start_matches([';', ' ', '\t', '\n', '\r']);
            let ended = rest.starts_with(']') || (rest.is_empty() && !behind.is_empty());
            ended.then(|| Expr::parse(before).ok())?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(args: &[&str]) -> Ended {
        let files = |path: &str| match path {
            "job.ad" => Ok("[ JobUniverse = 5; a = 1 ]\n[ a = 2 ]\n".to_owned()),
            "list.ad" => Ok("{\n[ a = 3 ]\n,\n[ a = 4 ]\n}\n".to_owned()),
            "bare.ad" => Ok("a = 5;\r\nb = 6".to_owned()),
            "long.ad" => Ok("a = 1\nb = 2\n".to_owned()),
            _ => Err("no such file".to_owned()),
        };
        let around = Around {
            program: "classad_eval",
            read: &files,
            now_secs: 1_700_000_000,
            seed: 1,
        };
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        run(&args, &around)
    }

    /// Expected output is that of the tool of HTCondor 25.14.
    #[test]
    fn it_prints_what_the_tool_prints() {
        let rows: [(&[&str], &str); 29] = [
            (&[], ""),
            (&["a = 2", "a * 2"], "[ a = 2 ]\n4\n"),
            (&["a=2", "a*2"], "[ a = 2 ]\n4\n"),
            (&["a = 2", "b = 2", "a + b"], "[ a = 2; b = 2 ]\n4\n"),
            (&["[ a = 2; b = 2 ]", "a + b"], "[ a = 2; b = 2 ]\n4\n"),
            (&["a = 2; b = 2", "a + b"], "[ a = 2; b = 2 ]\n4\n"),
            (&["strcat(\"foo\", \"bar\")"], "[  ]\n\"foobar\"\n"),
            (
                &["x = y", "x", "y = 7", "x", "[ x = 6; z = \"foo\"; ]", "x"],
                "[ x = y ]\nundefined\n[ x = y; y = 7 ]\n7\n[ x = 6; y = 7; z = \"foo\" ]\n6\n",
            ),
            (
                &[
                    "x = y",
                    "x",
                    "-quiet",
                    "y = 7",
                    "x",
                    "[ x = 6; z = \"foo\"; ]",
                    "x",
                ],
                "[ x = y ]\nundefined\n7\n6\n",
            ),
            (&["-quiet", "-file", "job.ad", "JobUniverse"], "5\n"),
            (
                &[
                    "-quiet",
                    "-my-file",
                    "job.ad",
                    "-target-file",
                    "list.ad",
                    "MY.a",
                    "TARGET.a",
                ],
                "1\n3\n",
            ),
            (&["-file", "bare.ad", "a + b"], "[ a = 5; b = 6 ]\n11\n"),
            (&["-ad-file", "list.ad", "a"], "[ a = 3 ]\n3\n"),
            (
                &["-target-file", "job.ad", "x = TARGET.a", "x", "a"],
                "[ x = TARGET.a ]\n1\n1\n",
            ),
            // A file does not make the context count as changed.
            (&["a", "-file", "job.ad", "a"], "[  ]\nundefined\n1\n"),
            (
                &["a = 1", "{a, b, 1+1}", "([x = a; y = b + 1])"],
                "[ a = 1 ]\n{ a,b,1 + 1 }\n[ x = a; y = b + 1 ]\n",
            ),
            (&["{1,2}", "[a=1] $$", "a"], "[  ]\n{ 1,2 }\n[ a = 1 ]\n1\n"),
            (&["-quiet", "a = 1 ] $$ [", "a"], "1\n"),
            (&["Abc = 1", "aBC = 2", "1"], "[ Abc = 2 ]\n1\n"),
            (&["", "1"], "[  ]\n1\n"),
            (&["/* c */", "1 /* c */"], "[  ]\n1\n"),
            (&["a = b == 1", "a"], "[ a = b == 1 ]\nundefined\n"),
            (&["-quiet", "a == 1"], "undefined\n"),
            (
                &["-quiet", "-1", "-foo", "1.5"],
                "-1\nundefined\n1.500000000000000E+00\n",
            ),
            (&["-quiet", "1;", "1;;", "1]", "1 ]] ;; x"], "1\n1\n1\n1\n"),
            (&["-quiet", "'x y' = 1", "'x y'"], "1\n"),
            (
                &["-quiet", "\"é\"", "\"a\\\"b\\n\""],
                "\"\\303\\251\"\n\"a\\\"b\\n\"\n",
            ),
            (&["-quiet", "error", "1/0", "true"], "error\nerror\ntrue\n"),
            (
                &["bb = 1", "a = 2", "-debug", "0"],
                "[ a = 2; bb = 1 ]\n0\n",
            ),
        ];
        for (args, out) in rows {
            let ended = ended(args);
            assert_eq!(
                (ended.out.as_str(), ended.err.as_str(), ended.code),
                (out, "", 0),
                "{args:?}"
            );
        }
    }

    #[test]
    fn it_ends_as_the_tool_ends() {
        let unable =
            |text: &str| format!("Unable to turn '{text}' into a ClassAd or an expression.\n");
        let rows: [(&[&str], &str, String, u8); 13] = [
            (
                &["-quiet", "\"//\" // b\n", "1 // b"],
                "\"//\"\n",
                unable("1 // b"),
                1,
            ),
            (&["-quiet", "{}", "1 +", "2"], "{  }\n", unable("1 +"), 1),
            (&["a = "], "[  ]\n", unable("a = "), 1),
            (&["-quiet", "1 2"], "", unable("1 2"), 1),
            (&["-quiet", "1)"], "", unable("1)"), 1),
            (&["-quiet", "1; x"], "", unable("1; x"), 1),
            (&["-quiet", "010"], "", unable("010"), 1),
            (&["-quiet", "a = 1; 2"], "", unable("a = 1; 2"), 1),
            (&["-quiet", "[ a = 1"], "", unable("[ a = 1"), 1),
            (
                &["-file"],
                "",
                "classad_eval: -file requires an argument\n".to_owned(),
                255,
            ),
            (
                &["1", "-target-file"],
                "[  ]\n1\n",
                "classad_eval: -target-file requires an argument\n".to_owned(),
                255,
            ),
            (
                &["-file", "long.ad", "1"],
                "",
                "Unable to turn file 'long.ad' into a ClassAd.\n".to_owned(),
                1,
            ),
            (
                &["-file", "none.ad", "1"],
                "",
                "classad_eval: none.ad: no such file\n".to_owned(),
                1,
            ),
        ];
        for (args, out, err, code) in rows {
            let ended = ended(args);
            let wanted = Ended {
                out: out.to_owned(),
                err,
                code,
            };
            assert_eq!(ended, wanted, "{args:?}");
        }
        let help = ended(&["-help", "1"]);
        assert_eq!((help.code, help.err.as_str()), (255, ""));
        assert!(help.out.starts_with("Usage: classad_eval "), "{}", help.out);
    }
}
