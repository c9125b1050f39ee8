//! The simulated AWS account beside the cluster.

mod commands;
mod common;
mod faults;
mod nodes;
mod seam;
mod tokens;
