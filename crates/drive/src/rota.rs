//! Who is next.

/// Things that are chosen one after another, and round again; never none.
pub(crate) struct Rota<T> {
    items: Vec<T>,
    next: u32,
}

impl<T> Rota<T> {
    /// Begins with the item of this number, counted round.
    ///
    /// # Panics
    ///
    /// If there are no items.
    pub(crate) fn new(items: Vec<T>, first: u32) -> Self {
        assert!(!items.is_empty(), "there must be a next");
        let next = first % items.len() as u32;
        Self { items, next }
    }

    /// Returns the number of the next.
    pub(crate) fn next(&mut self) -> u32 {
        let chosen = self.next;
        self.next = if chosen as usize + 1 == self.items.len() { 0 } else { chosen + 1 };
        chosen
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
            let mut rota = Rota::new(vec!['a', 'b', 'c'], first);
            let taken: Vec<_> = (0..6).map(|_| rota.next()).collect();
            assert_eq!(taken[..3], taken[3..]);
            assert_eq!(taken[0], first % 3);
            let mut sorted = taken[..3].to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
            assert_eq!((*rota.item(2), rota.items().count()), ('c', 3));
        }
    }
}
