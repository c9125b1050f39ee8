//! A cloud, a cluster, two processes that carry sagas on, and everything that can go wrong between them: decided by a seed, and the same
//! whenever it is run again.
//!
//! What is assumed of the world: a call takes effect within [`Timing::call`](optimizer::saga::Timing::call) of being sent, or never.

mod begin;
mod case;
mod chaos;
mod cluster;
mod laws;
mod lies;
mod nature;
mod process;
mod reach;
mod run;
mod seams;
mod story;
mod tally;
mod world;

use std::{env, fmt::Write, num::NonZero, sync::mpsc, thread, time::Instant};

use case::{Case, SYSTEMATIC, WAYS};
use lies::{LIES, Lie};
use run::run;
use tally::Tally;

/// So many seeds unless `SIMULATION_SEEDS` says otherwise: all that are systematic, and some.
const SEEDS: u64 = SYSTEMATIC + 200;
/// So many seeds show everything, or the simulation shows too little.
const MANY: u64 = 5000;

/// So many stories of broken seeds are told; the first is read, and the rest are named.
const STORIES: usize = 3;

/// The first seed, and how many.
fn seeds() -> (u64, u64) {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
    };
    (number("SIMULATION_SEED").unwrap_or_default(), number("SIMULATION_SEEDS").unwrap_or(SEEDS))
}

#[test]
fn whatever_happens_the_laws_hold() {
    let (first, count) = seeds();
    let began = Instant::now();
    let mut failed = Vec::new();
    let mut tally = Tally::default();
    // Each seed has a runtime and a time of its own, so it is the same to them who runs beside them.
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let (told, heard) = mpsc::channel();
    thread::scope(|scope| {
        for worker in 0..workers {
            let told = told.clone();
            scope.spawn(move || {
                for seed in (first..first + count).skip(worker).step_by(workers) {
                    // Who does not hear has failed.
                    let _ = told.send((seed, run(Case::of(seed))));
                }
            });
        }
        drop(told);
        for (seed, told) in heard {
            if count == 1 {
                println!("{}", told.story.join("\n"));
            }
            tally.add(&told);
            if !told.broken.is_empty() {
                println!("seed {seed}: {}", told.broken.join("; "));
                failed.push((seed, told));
            }
        }
    });
    println!("{count} seeds from {first} in {} s", began.elapsed().as_secs());
    if count > 1 {
        println!("{}", tally.text());
    }
    let mut text = String::new();
    failed.sort_by_key(|(seed, _)| *seed);
    for (seed, told) in failed.iter().take(STORIES) {
        writeln!(text, "\nseed {seed} (again: cargo xtask simulate --seed {seed})").unwrap();
        writeln!(text, "{}", told.story.join("\n")).unwrap();
        for broken in &told.broken {
            writeln!(text, "BROKEN: {broken}").unwrap();
        }
    }
    assert!(failed.is_empty(), "{text}");
    if count >= MANY {
        assert_eq!(tally.gaps(), Vec::<String>::new());
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 1000, 4711] {
        assert_eq!(run(Case::of(seed)).story, run(Case::of(seed)).story, "seed {seed}");
    }
}

#[test]
fn each_law_is_broken_by_a_lie() {
    // The last that are systematic, and some by chance.
    let seeds = SYSTEMATIC - 2 * WAYS..SYSTEMATIC + 300;
    let breaks = |lie, law: &str, seed| {
        let told = run(Case { lie: Some(lie), ..Case::of(seed) });
        told.broken.iter().any(|broken| broken.contains(law))
    };
    let is_unbroken = |(lie, law): &&(Lie, &str)| !seeds.clone().any(|seed| breaks(*lie, law, seed));
    let unbroken: Vec<_> = LIES.iter().filter(is_unbroken).collect();
    assert!(unbroken.is_empty(), "a law that no lie breaks says nothing: {unbroken:?}");
}

#[test]
fn a_process_dies_at_each_place() {
    // What dies at the last place of those that are tried would die at one that a saga does not have.
    for seed in SYSTEMATIC - WAYS..SYSTEMATIC - WAYS + 3 {
        let told = run(Case::of(seed));
        let deaths: u64 = told.places.values().map(|counted| counted.deaths).sum();
        assert_eq!(deaths, 0, "seed {seed}: a saga has more places than are tried");
    }
}
