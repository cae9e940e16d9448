//! The staging cache, seen from outside: how often the manager is asked, and what jobs get to read.

use proto::nouns::{Ended, Input, WorkOrder};

use super::{World, sh, within};

const KIB: usize = 1 << 10;

fn big(world: &World, letter: &str) -> Input {
    world.input("data", &letter.repeat(100 * KIB))
}

async fn reads(world: &mut World, input: &Input) -> String {
    let script = "wc -c < data; head -c 1 data; echo more >> data";
    let report = world
        .run(WorkOrder {
            inputs: vec![input.clone()],
            ..sh(script)
        })
        .await;
    assert_eq!(report.ended, Ended::Exited(0));
    world.text(report.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_fetched_once_for_all() {
    let mut world = World::new().await;
    let input = big(&world, "a");
    let claims: Vec<_> = (0..8).map(|_| world.claim()).collect();
    for claim in &claims {
        let order = WorkOrder {
            inputs: vec![input.clone()],
            ..sh("wc -c < data")
        };
        world.session.activate(*claim, order).await;
    }
    let mut ended = 0;
    while ended < claims.len() {
        let message = within(world.session.next()).await;
        if let proto::nouns::ToManager::Finished { report, .. } = message {
            assert_eq!(report.ended, Ended::Exited(0));
            ended += 1;
        }
    }
    assert_eq!(world.manager.store.gets(input.blob), 1);
    assert_eq!(reads(&mut world, &input).await, format!("{}\na", 100 * KIB));
    assert_eq!(world.manager.store.gets(input.blob), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_longest_ago_goes_first() {
    let mut world = World::with(|settings| settings.cache_bytes_max = 250 * KIB as u64).await;
    let [a, b, c] = ["a", "b", "c"].map(|letter| big(&world, letter));
    for input in [&a, &b, &a, &c, &a] {
        let expected = format!("{}\n", 100 * KIB);
        assert!(reads(&mut world, input).await.starts_with(&expected));
    }
    let gets = |input: &Input| world.manager.store.gets(input.blob);
    assert_eq!((gets(&a), gets(&b), gets(&c)), (1, 1, 1));
    reads(&mut world, &b).await;
    let gets = |input: &Input| world.manager.store.gets(input.blob);
    assert_eq!((gets(&a), gets(&b), gets(&c)), (1, 2, 1));
    // A limit that one blob exceeds does not stop its job.
    let mut world = World::with(|settings| settings.cache_bytes_max = 1).await;
    let input = big(&world, "d");
    assert_eq!(reads(&mut world, &input).await, format!("{}\nd", 100 * KIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_fetched_again() {
    let mut world = World::new().await;
    let input = big(&world, "a");
    let path = world
        .dir
        .path()
        .join("cache")
        .join(input.blob.digest.to_string());
    reads(&mut world, &input).await;
    std::fs::write(&path, "x".repeat(100 * KIB)).unwrap();
    assert_eq!(reads(&mut world, &input).await, format!("{}\na", 100 * KIB));
    assert_eq!(world.manager.store.gets(input.blob), 2);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(reads(&mut world, &input).await, format!("{}\na", 100 * KIB));
    assert_eq!(world.manager.store.gets(input.blob), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_outlives_its_worker() {
    let mut world = World::new().await;
    let input = big(&world, "a");
    reads(&mut world, &input).await;
    let World {
        dir,
        mut manager,
        session,
        worker,
        claims,
    } = world;
    drop(session);
    within(worker.stop()).await.unwrap();
    let worker = worker::start(super::settings(&manager, dir.path()))
        .await
        .unwrap();
    let (session, _) = manager.session().await;
    let mut world = World {
        dir,
        manager,
        session,
        worker,
        claims,
    };
    assert_eq!(reads(&mut world, &input).await, format!("{}\na", 100 * KIB));
    assert_eq!(world.manager.store.gets(input.blob), 1);
}
