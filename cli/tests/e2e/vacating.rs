//! Jobs that are sent back to the queue: asked to end, or killed; and started again.

use serde_json::Value;

use crate::home::until;
use crate::pool::Pool;

/// Takes its signal to heart, and leaves word of it.
const POLITE: &str = "executable = /bin/sh
transfer_executable = false
arguments = \"-c 'trap \"\"echo bye >> HOME/byes; exit 0\"\" TERM; echo x >> HOME/starts; \
    until [ -e HOME/go ]; do sleep 0.02; done'\"
queue\n";

fn started(pool: &Pool, times: usize) {
    until("start", || pool.home.lines("starts").len() == times);
}

#[test]
fn a_vacated_job_is_asked_to_end_and_starts_again() {
    let pool = Pool::with_workers(&["w"]);
    let id = pool.submit_text("polite.sub", POLITE);
    started(&pool, 1);
    let ran = pool.updraft(&["vacate", &id]).expect(0);
    assert_eq!(ran.out, format!("{id}: 1 job vacated\n"));
    started(&pool, 2);
    assert_eq!(pool.home.lines("byes").len(), 1);
    // At once, whatever it has to say.
    pool.updraft(&["vacate", &format!("{id}.0"), "--fast"])
        .expect(0);
    started(&pool, 3);
    pool.home.write("go", "");
    pool.wait(&id);
    let job = pool.job(&id);
    assert_eq!(
        (&job["attempts"], &job["exit_code"]),
        (&3.into(), &0.into()),
        "{job:#}"
    );
}

#[test]
fn a_worker_is_emptied_without_the_others() {
    let mut pool = Pool::with_workers(&["a"]);
    let first = pool.submit_text("polite.sub", POLITE);
    started(&pool, 1);
    pool.updraft(&["worker", "drain", "a"]).expect(0);
    pool.add_worker("b", &[]);
    let second = pool.submit("polite.sub");
    started(&pool, 2);
    let told = pool.json(&["vacate", "--worker", "a"]);
    let ids: Vec<&Value> = told["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|acted| &acted["id"])
        .collect();
    assert_eq!(ids, [first.as_str()]);
    // It goes on elsewhere: its worker takes nothing.
    started(&pool, 3);
    until("its worker", || pool.job(&first)["worker"] == "b");
    assert_eq!(pool.job(&second)["attempts"], 1);
    pool.updraft(&["vacate", "--worker", "a"]).expect(4);
    pool.updraft(&["vacate", "--worker", "nobody"])
        .expect(4)
        .complains(&["nobody"]);
    pool.home.write("go", "");
    pool.wait(&first);
    pool.wait(&second);
    pool.updraft(&["vacate", &first])
        .expect(1)
        .complains(&["it is completed"]);
    pool.updraft(&["vacate"]).expect(2);
}
