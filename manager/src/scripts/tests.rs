//! Real scripts in temporary directories. What lives is told by a pipe that it holds open, so
//! nothing here waits for a time to pass.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;

use dags::dag::{Debug, Stream};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::*;
use crate::places::Places;

/// Long enough that a test which waits for it is seen to hang.
const NEVER: Duration = Duration::from_secs(3600);

struct House {
    dir: TempDir,
    places: Places,
    scripts: Option<Scripts>,
    ends: mpsc::Receiver<Command>,
}

impl House {
    fn new() -> House {
        House::within(BOUNDS, ScriptPolicy::Allow)
    }

    fn within(bounds: Bounds, policy: ScriptPolicy) -> House {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::open(&dir.path().join("work")).unwrap();
        let (post, ends) = poster();
        let mark = Mark::new(places.clone(), ([127, 0, 0, 1], 7).into());
        let scripts = Scripts::start_within(bounds, mark, policy, post).unwrap();
        House {
            dir,
            places,
            scripts: Some(scripts),
            ends,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn script(&self, name: &str, text: &str) {
        self.file(name, &format!("#!/bin/sh\n{text}\n"), 0o755);
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn pipe(&self, name: &str) {
        nix::unistd::mkfifo(&self.path().join(name), Mode::from_bits_truncate(0o600)).unwrap();
    }

    fn open(&self, pipe: &str) -> BufReader<fs::File> {
        BufReader::new(fs::File::open(self.path().join(pipe)).unwrap())
    }

    fn order(&self, node: u32, program: &str) -> ScriptOrder {
        ScriptOrder {
            run: 1,
            node,
            kind: ScriptKind::Pre,
            attempt: 1,
            directory: self.path().to_str().unwrap().to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            debug: None,
        }
    }

    fn start(&self, order: ScriptOrder) {
        self.scripts.as_ref().unwrap().run(order);
    }

    fn stop(&self, node: u32) {
        self.scripts
            .as_ref()
            .unwrap()
            .stop(1, node, ScriptKind::Pre);
    }

    fn end(&self) -> (u32, u32, ScriptEnd) {
        match self.ends.recv().unwrap() {
            Command::ScriptEnded {
                run: 1,
                node,
                kind: ScriptKind::Pre,
                attempt,
                end,
            } => (node, attempt, end),
            other => panic!("{other:?}"),
        }
    }

    fn end_of(&self, order: ScriptOrder) -> ScriptEnd {
        self.start(order);
        self.end().2
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }
}

fn poster() -> (
    impl Fn(Command) -> Result<(), Closed> + Send + 'static,
    mpsc::Receiver<Command>,
) {
    let (sender, receiver) = mpsc::channel();
    let post = move |command| sender.send(command).map_err(|_| Closed);
    (post, receiver)
}

/// Reads what comes until nobody holds the pipe any more.
fn until_dead(mut pipe: BufReader<fs::File>) -> String {
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).unwrap();
    rest
}

fn line(pipe: &mut BufReader<fs::File>) -> String {
    let mut line = String::new();
    pipe.read_line(&mut line).unwrap();
    line
}

#[test]
fn a_script_ends_as_its_process_does() {
    let house = House::new();
    house.script("zero", "exit 0");
    house.script("three", "exit 3");
    house.script("killed", "kill -9 $$");
    house.script("sub/there", "exit 4");
    let rows = [
        ("zero", ScriptEnd::Exited(0)),
        ("./three", ScriptEnd::Exited(3)),
        ("three", ScriptEnd::Exited(3)),
        ("sub/there", ScriptEnd::Exited(4)),
        ("killed", ScriptEnd::Signaled(9)),
        // Of PATH.
        ("true", ScriptEnd::Exited(0)),
        ("/bin/false", ScriptEnd::Exited(1)),
    ];
    for (program, end) in rows {
        assert_eq!(house.end_of(house.order(0, program)), end, "{program}");
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let house = House::new();
    house.file("plain.sh", "#!/bin/sh\n", 0o644);
    house.file("words", "hello\n", 0o755);
    house.file("lost", "#!/no/such/shell\n", 0o755);
    fs::create_dir(house.path().join("folder")).unwrap();
    let rows = [
        ("absent", "there is no program `absent` in "),
        ("./absent", "there is no program "),
        (
            "plain.sh",
            "`plain.sh` is not executable (chmod +x plain.sh)",
        ),
        ("words", "`words` is not a program for this machine"),
        ("lost", "the interpreter that it asks for is not there"),
        ("./folder", "`./folder` is a directory"),
        ("", "it names no program"),
    ];
    for (program, reason) in rows {
        match house.end_of(house.order(0, program)) {
            ScriptEnd::NotStarted(said) => assert!(said.contains(reason), "{program}: {said}"),
            other => panic!("{program}: {other:?}"),
        }
    }
    let nowhere = ScriptOrder {
        directory: "/no/such/place".to_owned(),
        ..house.order(0, "true")
    };
    let said = "there is no directory /no/such/place".to_owned();
    assert_eq!(house.end_of(nowhere), ScriptEnd::NotStarted(said));
    let nul = ScriptOrder {
        arguments: vec!["a\0b".to_owned()],
        ..house.order(0, "true")
    };
    assert!(matches!(house.end_of(nul), ScriptEnd::NotStarted(_)));
}

#[test]
fn a_file_of_the_directory_that_is_no_program_hides_none_of_path() {
    let house = House::new();
    house.file("true", "just a note\n", 0o644);
    let end = house.end_of(house.order(0, "true"));
    assert_eq!(end, ScriptEnd::Exited(0));
    // The script's own PATH counts.
    house.script("bin/tool", "exit 7");
    let order = ScriptOrder {
        environment: vec![("PATH".to_owned(), "bin:/usr/bin:/bin".to_owned())],
        ..house.order(0, "tool")
    };
    assert_eq!(house.end_of(order), ScriptEnd::Exited(7));
}

#[test]
fn a_script_finds_its_directory_arguments_and_environment() {
    let house = House::new();
    house.script(
        "say",
        "exec > said; pwd; printf '%s,' \"$@\"; echo \"$ONE-$TWO-${HOME+home}\"; cat",
    );
    let order = ScriptOrder {
        arguments: vec!["a b".to_owned(), "$JOB".to_owned()],
        environment: vec![
            ("ONE".to_owned(), "1".to_owned()),
            ("TWO".to_owned(), "1".to_owned()),
            ("TWO".to_owned(), "2".to_owned()),
        ],
        ..house.order(0, "say")
    };
    assert_eq!(house.end_of(order), ScriptEnd::Exited(0));
    let home = std::env::var_os("HOME").map_or("", |_| "home");
    let directory = fs::canonicalize(house.path()).unwrap();
    let expected = format!("{}\na b,$JOB,1-2-{home}\n", directory.display());
    assert_eq!(house.text("said"), expected);
}

#[test]
fn the_debug_file_gets_what_is_asked_for_and_keeps_what_it_has() {
    let house = House::new();
    house.script("both", "echo out; echo err >&2");
    let debug = |file: &str, stream| ScriptOrder {
        debug: Some(Debug {
            file: file.to_owned(),
            stream,
        }),
        ..house.order(0, "both")
    };
    for (file, stream) in [
        ("out.log", Stream::Stdout),
        ("err.log", Stream::Stderr),
        ("all.log", Stream::All),
        ("all.log", Stream::Stdout),
        // One that cannot be opened keeps no script from running.
        ("no/such/place.log", Stream::All),
    ] {
        assert_eq!(house.end_of(debug(file, stream)), ScriptEnd::Exited(0));
    }
    assert_eq!(house.text("out.log"), "out\n");
    assert_eq!(house.text("err.log"), "err\n");
    assert_eq!(house.text("all.log"), "out\nerr\nout\n");
}

#[test]
fn a_stopped_script_dies_with_its_grandchildren_and_says_nothing() {
    let bounds = Bounds {
        stop_grace: Duration::ZERO,
        ..BOUNDS
    };
    let house = House::within(bounds, ScriptPolicy::Allow);
    house.pipe("alive");
    // The grandchild does not listen, and holds the pipe.
    let grandchild = r#"sh -c 'trap "" TERM; echo up; while :; do sleep 1000; done' >&3 &"#;
    house.script("long", &format!("exec 3> alive\n{grandchild}\nwait"));
    house.start(house.order(0, "long"));
    let mut pipe = house.open("alive");
    assert_eq!(line(&mut pipe), "up\n");
    house.stop(0);
    assert_eq!(until_dead(pipe), "");
    // The next attempt is the first that anything is said of.
    let again = ScriptOrder {
        attempt: 2,
        ..house.order(0, "true")
    };
    house.start(again);
    assert_eq!(house.end(), (0, 2, ScriptEnd::Exited(0)));
}

#[test]
fn a_script_that_is_stopped_may_tidy_up() {
    let bounds = Bounds {
        stop_grace: NEVER,
        ..BOUNDS
    };
    let house = House::within(bounds, ScriptPolicy::Allow);
    house.pipe("alive");
    house.script(
        "tidy",
        "exec 3> alive\ntrap 'echo tidied >&3; exit 0' TERM\necho up >&3\nsleep 1000 & wait",
    );
    house.start(house.order(0, "tidy"));
    let mut pipe = house.open("alive");
    assert_eq!(line(&mut pipe), "up\n");
    house.stop(0);
    assert_eq!(until_dead(pipe), "tidied\n");
}

#[test]
fn scripts_beyond_the_limit_wait_and_may_be_stopped_while_they_do() {
    let bounds = Bounds {
        running_max: 1,
        ..BOUNDS
    };
    let house = House::within(bounds, ScriptPolicy::Allow);
    house.pipe("go");
    house.script("first", "read x < go; echo first >> order");
    house.script("later", "echo \"later $1\" >> order");
    let later = |node: u32| ScriptOrder {
        arguments: vec![node.to_string()],
        ..house.order(node, "later")
    };
    house.start(house.order(0, "first"));
    for node in 1..=3 {
        house.start(later(node));
    }
    house.stop(2);
    fs::write(house.path().join("go"), "go\n").unwrap();
    let ended: Vec<u32> = (0..3).map(|_| house.end().0).collect();
    assert_eq!(ended, [0, 1, 3]);
    assert_eq!(house.text("order"), "first\nlater 1\nlater 3\n");
}

#[test]
fn no_script_outlives_its_manager() {
    let mut house = House::new();
    house.pipe("alive");
    house.script("long", "exec 3> alive\necho up >&3\nsleep 1000");
    house.start(house.order(0, "long"));
    let mut pipe = house.open("alive");
    assert_eq!(line(&mut pipe), "up\n");
    house.scripts = None;
    assert_eq!(until_dead(pipe), "");
    assert!(house.ends.recv().is_err(), "nobody is told");
}

#[test]
fn what_a_killed_manager_left_is_killed_by_the_next() {
    let mut house = House::new();
    house.pipe("alive");
    house.script("long", "exec 3> alive\necho up >&3\nsleep 1000");
    let mark = Mark::new(house.places.clone(), ([127, 0, 0, 1], 7).into());
    let mut child = launch::spawn(&house.order(0, "long"), &mark).unwrap();
    let mut pipe = house.open("alive");
    assert_eq!(line(&mut pipe), "up\n");
    // Another manager's scripts are its own business.
    let other = House::new();
    assert!(child.try_wait().unwrap().is_none());
    drop(other);
    house.scripts = None;
    let (post, _ends) = poster();
    let scripts = Scripts::start(mark, ScriptPolicy::Allow, post).unwrap();
    assert_eq!(until_dead(pipe), "");
    assert_eq!(end_of(child.wait().unwrap()), ScriptEnd::Signaled(9));
    drop(scripts);
}

#[test]
fn a_manager_that_refuses_scripts_runs_none() {
    let house = House::within(BOUNDS, ScriptPolicy::Refuse);
    let said = "this manager runs no scripts (--scripts refuse)".to_owned();
    let end = house.end_of(house.order(0, "true"));
    assert_eq!(end, ScriptEnd::NotStarted(said));

    let files = BTreeMap::from([("a.dag".to_owned(), "JOB A a.sub NOOP\n".to_owned())]);
    let (dag, found) = Dag::load("a.dag", &files);
    let mut dag = dag.unwrap_or_else(|| panic!("{}", found.render()));
    assert_eq!(permit(ScriptPolicy::Refuse, &dag), Ok(()));
    dag.nodes[0].scripts.pre = Some(Box::new(dags::dag::Script {
        program: "true".to_owned(),
        arguments: Vec::new(),
        defer: None,
        debug: None,
    }));
    assert_eq!(permit(ScriptPolicy::Allow, &dag), Ok(()));
    let said = "a.dag: node A has a script, and this manager runs none (--scripts refuse)";
    assert_eq!(permit(ScriptPolicy::Refuse, &dag), Err(said.to_owned()));
}
