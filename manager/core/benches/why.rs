//! How long `why` takes: 10,000 jobs that wait, of 100 kinds, on 1,000 workers, half of them busy.
//!
//! `cargo bench -p manager-core --bench why [JOBS WORKERS]`

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "../tests/why/house.rs"]
mod house;

use std::time::Instant;

use house::{House, Machine, job, machine};
use manager_core::{Causes, Progress};

const KINDS: u64 = 100;
const TIMES: u32 = 20;

fn main() {
    let numbers = std::env::args().filter_map(|arg| arg.parse::<u64>().ok());
    let numbers: Vec<u64> = numbers.collect();
    let jobs = numbers.first().copied().unwrap_or(10_000);
    let workers = numbers.get(1).copied().unwrap_or(1_000);
    let mut house = House::new();
    for at in 0..workers {
        house.joins(&Machine {
            gpus: vec![(24_000 + at % 3 * 8_000, None); usize::try_from(at % 5).unwrap()],
            memory_mib: 16_000 + at % 7 * 4_000,
            ..machine(&format!("w{at}"), &format!("Rack = {}", at % 10))
        });
    }
    // Half of the pool is busy with jobs that never end.
    house.submit(&format!("request_cpus = 4\nqueue {}", workers / 2));
    let each = (jobs / KINDS).max(1);
    for kind in 0..KINDS {
        let asks = match kind % 4 {
            0 => format!("request_memory = {}", 100_000 + kind),
            1 => format!("request_gpus = 1\ngpus_minimum_memory = {}", 60_000 + kind),
            2 => format!("requirements = Rack == {} && Memory > {kind}", 20 + kind),
            _ => format!("requirements = Rack < 5 && Nobody =!= {kind}\nrequest_cpus = 5"),
        };
        house.submit_as(
            ["ada", "bob", "eve"][usize::try_from(kind % 3).unwrap()],
            &format!("{asks}\nqueue {each}"),
        );
    }
    let waiting = house.idle_jobs();
    println!("{waiting} jobs wait, {workers} workers");
    for kind in 0..4 {
        let of = job(2 + kind, 0);
        let began = Instant::now();
        let mut code = "";
        for _ in 0..TIMES {
            code = house.queue.why(house.now, of).unwrap().code;
        }
        let ms = began.elapsed().as_secs_f64() * 1000.0 / f64::from(TIMES);
        println!("why {of} ({code}): {ms:.1} ms");
    }
    let began = Instant::now();
    let why = house.queue.why_worker(house.now, &"w1".parse().unwrap());
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    println!("why --worker w1 ({}): {ms:.1} ms", why.unwrap().code);
    let began = Instant::now();
    let mut causes = Causes::default();
    let mut longest = 0.0_f64;
    loop {
        let slice = Instant::now();
        let progress = causes.go_on(&house.queue, house.now);
        longest = longest.max(slice.elapsed().as_secs_f64() * 1000.0);
        if progress == Progress::Done {
            break;
        }
    }
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    let causes = causes.finish().len();
    println!("why --all ({causes} causes): {ms:.1} ms, the longest slice {longest:.1} ms");
}
