//! Who has a link to whom.
//!
//! A ring in random order, so that everyone is connected, and random chords up to the wanted number
//! of links. Of each link one side dials, and dials again when it ends.

use std::collections::BTreeSet;

use crate::event::HostIndex;
use crate::random::Random;

/// The hosts that each host dials.
pub fn random_graph(nodes: u32, degree: u32, seed: u64) -> Vec<Vec<HostIndex>> {
    let mut random = Random::derive(seed, "topology", 0);
    let mut ring: Vec<HostIndex> = (0..nodes).collect();
    random.shuffle(&mut ring);
    let mut links = BTreeSet::new();
    let mut connect = |one: HostIndex, other: HostIndex| {
        one != other && links.insert((one.min(other), one.max(other)))
    };
    for (at, one) in ring.iter().enumerate() {
        connect(*one, ring[(at + 1) % ring.len()]);
    }
    let wanted = (u64::from(nodes) * u64::from(degree.min(nodes.saturating_sub(1))) / 2) as usize;
    let mut made = nodes as usize;
    // Each round is a random matching: the numbers of links of two hosts differ by few.
    while made < wanted {
        random.shuffle(&mut ring);
        let before = made;
        for pair in ring.chunks_exact(2) {
            if made < wanted && connect(pair[0], pair[1]) {
                made += 1;
            }
        }
        if made == before {
            // Nearly everyone is connected with everyone: of the other pairs as many as are wanted.
            let pairs = (0..ring.len()).flat_map(|at| (0..at).map(move |before| (before, at)));
            let others = pairs.filter(|(one, other)| connect(ring[*one], ring[*other]));
            made += others.take(wanted - made).count();
        }
    }
    let mut dials = vec![Vec::new(); nodes as usize];
    for (low, high) in links {
        let (from, to) = if random.below(2) == 0 {
            (low, high)
        } else {
            (high, low)
        };
        dials[from as usize].push(to);
    }
    dials
}

/// Links that have to be added so that these hosts are connected by links among themselves alone,
/// each from the dialling side: the parts in which they fall are strung together.
pub fn missing_links(
    dials: &[Vec<HostIndex>],
    members: &BTreeSet<HostIndex>,
) -> Vec<(HostIndex, HostIndex)> {
    let mut neighbours = vec![Vec::new(); dials.len()];
    for (from, dialled) in (0..).zip(dials) {
        for to in dialled {
            neighbours[from as usize].push(*to);
            neighbours[*to as usize].push(from);
        }
    }
    let mut reached = BTreeSet::new();
    let mut heads = Vec::new();
    for member in members {
        if reached.insert(*member) {
            heads.push(*member);
            let mut next = vec![*member];
            while let Some(at) = next.pop() {
                let known = neighbours[at as usize].iter();
                let members = known.filter(|to| members.contains(to));
                next.extend(members.filter(|to| reached.insert(**to)));
            }
        }
    }
    heads.windows(2).map(|pair| (pair[1], pair[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_group_are_strung_together() {
        // A path 0-1-2-3-4-5.
        let dials: Vec<Vec<HostIndex>> = (0..6).map(|at| (at + 1..6).take(1).collect()).collect();
        let missing = |members: &[HostIndex]| {
            let members = members.iter().copied().collect();
            missing_links(&dials, &members)
        };
        assert_eq!(missing(&[0, 1, 2, 3, 4, 5]), []);
        assert_eq!(missing(&[1, 2, 3]), []);
        assert_eq!(missing(&[0, 2, 3, 5]), [(2, 0), (5, 2)]);
    }

    #[test]
    fn everyone_is_connected_and_has_about_the_wanted_number_of_links() {
        for (nodes, degree) in [(2, 6), (3, 6), (10, 4), (1_000, 6)] {
            let dials = random_graph(nodes, degree, 5);
            let mut neighbours = vec![BTreeSet::new(); nodes as usize];
            for (from, to) in (0..)
                .zip(&dials)
                .flat_map(|(from, to)| to.iter().map(move |to| (from as usize, *to as usize)))
            {
                assert!(neighbours[from].insert(to) && neighbours[to].insert(from));
            }
            let (mut reached, mut next) = (BTreeSet::from([0]), vec![0]);
            while let Some(at) = next.pop() {
                next.extend(neighbours[at].iter().filter(|to| reached.insert(**to)));
            }
            assert_eq!(reached.len(), nodes as usize, "{nodes}");
            let most = neighbours.iter().map(BTreeSet::len).max();
            assert!(
                most.is_some_and(|most| most <= degree as usize + 2),
                "{nodes}: {most:?}"
            );
        }
        assert_ne!(random_graph(100, 6, 1), random_graph(100, 6, 2));
    }

    #[test]
    fn few_hosts_have_as_many_links_as_are_wanted() {
        for seed in 0..100 {
            let links = |(nodes, degree)| {
                let dials = random_graph(nodes, degree, seed);
                dials.iter().map(Vec::len).sum::<usize>()
            };
            assert_eq!([(8, 6), (5, 4), (12, 10)].map(links), [24, 10, 60]);
        }
    }
}
