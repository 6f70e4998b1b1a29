//! The NAT matrix (issue 3): connected through a relay from the first packet in every cell, direct in every cell where it can be.

use netflow_lab::matrix::{Cell, Cost, KINDS, Matrix, PORT_BUDGET, TRACKED_BUDGET};
use netflow_lab::wait;

/// Seconds a direct path may take where no search is needed. Measured well below; a machine that compiles beside the lab needs air.
const DIRECT_LIMIT_S: u32 = 15;
/// How long a pair that cannot become direct is watched staying relayed, seconds.
const RELAYED_WATCH_S: u32 = 5;
/// Sockets of a node that are not for punching: its port in one or two families, and the carriers to two relays.
const OWN_SOCKETS: usize = 6;

/// Cells whose direct path needs minutes of patient search: `make test-slow` runs them, here they only have to be connected.
fn needs_patience(from: &str, to: &str) -> bool {
    matches!((from, to), ("random", "EIM/APDF") | ("EIM/APDF", "random"))
}

fn may_stay_relayed(from: &str, to: &str) -> bool {
    needs_patience(from, to) || (from, to) == ("random", "random")
}

fn show(cells: &[Cell]) {
    eprintln!("{:>10} {:>10} {:>12} {:>12}", "from", "to", "first", "direct");
    for cell in cells {
        let direct = cell.direct_ms.map_or("relayed".to_owned(), |ms| format!("{ms} ms"));
        eprintln!("{:>10} {:>10} {:>9.1} ms {direct:>12}", cell.from, cell.to, cell.first_ms);
    }
}

#[test]
fn every_kind_of_nat_reaches_every_other_at_once_and_directly_where_it_can_be() {
    let mut matrix = Matrix::build().unwrap();
    for side in ["f", "t"] {
        for (number, (kind, nat)) in KINDS.into_iter().enumerate() {
            matrix.add(&format!("{side}{number}"), kind, nat).unwrap();
        }
    }
    let mut cells = Vec::new();
    // Those that stay relayed come last: their searches go on for a while and would be measured with the others.
    let pairs = (0..4).flat_map(|from| (0..4).map(move |to| (from, to)));
    let (relayed, direct): (Vec<_>, Vec<_>) =
        pairs.partition(|(from, to)| may_stay_relayed(KINDS[*from].0, KINDS[*to].0));
    for (from, to) in direct.into_iter().chain(relayed) {
        let limit = if may_stay_relayed(KINDS[from].0, KINDS[to].0) { RELAYED_WATCH_S } else { DIRECT_LIMIT_S };
        cells.push(matrix.cell(from, 4 + to, limit).unwrap());
    }
    show(&cells);
    let missed: Vec<_> =
        cells.iter().filter(|cell| cell.direct_ms.is_none() && !may_stay_relayed(cell.from, cell.to)).collect();
    assert!(missed.is_empty(), "stayed relayed: {missed:?}");
    assert_eq!(cells.len(), 16);
}

#[test]
fn pitfall_15_the_worst_punch_stays_within_its_ports_and_connections() {
    let mut matrix = Matrix::build().unwrap();
    let pair =
        [matrix.add("random", "random", KINDS[3].1).unwrap(), matrix.add("home", "EIM/APDF", KINDS[2].1).unwrap()];
    let before = matrix.at_rest(&pair).unwrap();
    let mut cost = Cost::default();
    std::thread::scope(|scope| {
        let search = scope.spawn(|| matrix.cell(pair[0], pair[1], 40).unwrap());
        wait::until("the search has run for a while", 120_000, || {
            matrix.sample(&pair, &before, &mut cost).unwrap();
            search.is_finished()
        })
        .unwrap();
    });
    eprintln!("worst punch: {} connections at a box, {} UDP sockets", cost.tracked, cost.ports);
    assert!(cost.tracked <= TRACKED_BUDGET, "{} connections tracked by a box", cost.tracked);
    assert!(cost.ports <= PORT_BUDGET + OWN_SOCKETS, "{} UDP sockets", cost.ports);
    assert!(cost.ports > OWN_SOCKETS, "{} UDP sockets: nothing was searched, so nothing was measured", cost.ports);
}
