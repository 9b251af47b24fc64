//! Things that take turns.

/// Things that take turns; never none.
pub(crate) struct Turns<T> {
    items: Vec<T>,
    next: u32,
}

impl<T> Turns<T> {
    /// Begins with the item of this number, counted round.
    ///
    /// # Panics
    ///
    /// If there are no items.
    pub(crate) fn new(items: Vec<T>, first: u32) -> Self {
        assert!(!items.is_empty(), "somebody must take a turn");
        let next = first % items.len() as u32;
        Self { items, next }
    }

    /// Returns whose turn it is, and passes it on.
    pub(crate) fn turn(&mut self) -> u32 {
        let turn = self.next;
        self.next = if turn as usize + 1 == self.items.len() { 0 } else { turn + 1 };
        turn
    }

    /// Returns an item.
    pub(crate) fn item(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }

    /// Returns all items.
    pub(crate) fn items(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_comes_as_often_as_the_others_wherever_it_begins() {
        for first in 0..7 {
            let mut turns = Turns::new(vec!['a', 'b', 'c'], first);
            let taken: Vec<_> = (0..6).map(|_| turns.turn()).collect();
            assert_eq!(taken[..3], taken[3..]);
            assert_eq!(taken[0], first % 3);
            let mut sorted = taken[..3].to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
            assert_eq!((*turns.item(2), turns.items().count()), ('c', 3));
        }
    }
}
