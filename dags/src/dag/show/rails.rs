//! Rails: each unit a mark on one of them, each edge a rail from its parent down to its child.
//! Edges to one child share a rail as soon as they meet.

/// A row of the drawing.
pub(super) struct Row {
    pub rail: String,
    /// The unit whose mark is in it.
    pub unit: Option<u32>,
}

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// Draws units by their children. `None` where more rails than `lanes_max` would run side by side.
pub(super) fn draw(
    children: &[&[u32]],
    mark: &dyn Fn(u32) -> char,
    lanes_max: usize,
) -> Option<Vec<Row>> {
    let mut drawing = Drawing {
        lanes: Vec::new(),
        rows: Vec::new(),
    };
    for unit in order(children) {
        let lane = drawing.arrive(unit);
        drawing.mark(unit, lane, mark(unit));
        drawing.leave(lane, children[unit as usize]);
        if drawing.lanes.len() > lanes_max {
            return None;
        }
    }
    Some(drawing.rows)
}

/// Parents before children, and a child right behind its last parent where that is possible.
fn order(children: &[&[u32]]) -> Vec<u32> {
    let mut missing = vec![0_u32; children.len()];
    for child in children.iter().copied().flatten() {
        missing[*child as usize] += 1;
    }
    let units = (0..).zip(children);
    let roots = units.filter(|(unit, _): &(u32, _)| missing[*unit as usize] == 0);
    let mut open: Vec<u32> = roots.map(|(unit, _)| unit).collect();
    open.reverse();
    let mut order = Vec::with_capacity(children.len());
    while let Some(unit) = open.pop() {
        order.push(unit);
        for child in children[unit as usize].iter().rev() {
            let left = &mut missing[*child as usize];
            *left -= 1;
            if *left == 0 {
                open.push(*child);
            }
        }
    }
    order
}

struct Drawing {
    /// The unit that each rail leads to.
    lanes: Vec<Option<u32>>,
    rows: Vec<Row>,
}

impl Drawing {
    /// The lane of a unit: the first of those that lead to it, the others led there; a free one
    /// where none does.
    fn arrive(&mut self, unit: u32) -> usize {
        let leads = |lane: &usize| self.lanes[*lane] == Some(unit);
        let coming: Vec<usize> = (0..self.lanes.len()).filter(leads).collect();
        let Some((first, others)) = coming.split_first() else {
            let lane = self.free();
            let above = self.rows.last();
            let above = above.and_then(|row| row.rail.chars().nth(2 * lane));
            if above.is_some_and(|above| above != ' ') {
                // What stands right below a mark would look like its child.
                let cells = self.through();
                self.row(&cells);
            }
            return lane;
        };
        if let Some(last) = others.last() {
            let mut cells = self.through();
            run(&mut cells, *first, *last);
            for lane in others {
                cells[*lane] &= !DOWN;
                self.lanes[*lane] = None;
            }
            self.row(&cells);
        }
        *first
    }

    fn mark(&mut self, unit: u32, lane: usize, mark: char) {
        self.lanes[lane] = Some(unit);
        let mut rail = String::new();
        for (at, leads) in self.lanes.iter().enumerate() {
            rail.push(match (at == lane, leads) {
                (true, _) => mark,
                (false, Some(_)) => '│',
                (false, None) => ' ',
            });
            rail.push(' ');
        }
        let rail = rail.trim_end().to_owned();
        self.rows.push(Row {
            rail,
            unit: Some(unit),
        });
    }

    /// Leads from a unit to its children: on rails that go there already, and on new ones.
    fn leave(&mut self, lane: usize, children: &[u32]) {
        self.lanes[lane] = None;
        let leads =
            |lanes: &[Option<u32>], child: u32| lanes.iter().position(|to| *to == Some(child));
        let (old, new): (Vec<u32>, Vec<u32>) = children
            .iter()
            .partition(|child| leads(&self.lanes, **child).is_some());
        let mut rest = new.iter();
        let own = rest.next();
        self.lanes[lane] = own.copied();
        let mut opened = Vec::new();
        for child in rest {
            // Its own lane is taken for a moment, so that no other child gets it.
            let free = self.free();
            self.lanes[free] = Some(*child);
            opened.push(free);
        }
        let olds: Vec<usize> = old
            .iter()
            .filter_map(|child| leads(&self.lanes, *child))
            .collect();
        for (at, to) in olds.iter().enumerate() {
            // New rails begin below.
            let mut cells = self.through();
            for lane in &opened {
                cells[*lane] = 0;
            }
            let more = at + 1 < olds.len() || !opened.is_empty() || own.is_some();
            cells[lane] = UP | if more { DOWN } else { 0 };
            run(&mut cells, lane.min(*to), lane.max(*to));
            self.row(&cells);
        }
        if let (Some(least), Some(most)) = (opened.iter().min(), opened.iter().max()) {
            let mut cells = self.through();
            for lane in &opened {
                cells[*lane] = DOWN;
            }
            cells[lane] = UP | if own.is_some() { DOWN } else { 0 };
            run(&mut cells, lane.min(*least), lane.max(*most));
            self.row(&cells);
        }
        while self.lanes.last() == Some(&None) {
            self.lanes.pop();
        }
    }

    /// A lane that leads nowhere.
    fn free(&mut self) -> usize {
        if let Some(lane) = self.lanes.iter().position(Option::is_none) {
            return lane;
        }
        self.lanes.push(None);
        self.lanes.len() - 1
    }

    /// What stands in each lane where nothing happens.
    fn through(&self) -> Vec<u8> {
        let lanes = self.lanes.iter();
        lanes
            .map(|lane| if lane.is_some() { UP | DOWN } else { 0 })
            .collect()
    }

    fn row(&mut self, cells: &[u8]) {
        let mut rail = String::new();
        for (at, cell) in cells.iter().enumerate() {
            rail.push(glyph(*cell));
            let next = cells.get(at + 1).copied().unwrap_or(0);
            rail.push(if cell & RIGHT != 0 && next & LEFT != 0 {
                '─'
            } else {
                ' '
            });
        }
        let rail = rail.trim_end().to_owned();
        self.rows.push(Row { rail, unit: None });
    }
}

/// A line from one lane to another.
fn run(cells: &mut [u8], from: usize, to: usize) {
    for (at, cell) in cells.iter_mut().enumerate().take(to + 1).skip(from) {
        if at > from {
            *cell |= LEFT;
        }
        if at < to {
            *cell |= RIGHT;
        }
    }
}

fn glyph(cell: u8) -> char {
    const GLYPHS: [char; 16] = [
        ' ', '╵', '╷', '│', '╴', '╯', '╮', '┤', '╶', '╰', '╭', '├', '─', '┴', '┬', '┼',
    ];
    GLYPHS[usize::from(cell & 15)]
}
