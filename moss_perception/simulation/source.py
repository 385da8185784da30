"""What the scenes of a data set or a recording are drawn from, by name."""

from dataclasses import dataclass

from moss_perception.simulation.cells import cell_named
from moss_perception.simulation.domains import domain_named
from moss_perception.simulation.scene import sample_scene, SceneSpec


@dataclass(frozen=True)
class Source:
    """
    What scenes are drawn from.

    :ivar cell: one of ``cells.CELLS``.
    :ivar domain: one of the cell's domains.
    :ivar split: ``held_out`` for the objects that training never shows, else empty.
    :ivar motion: one of the cell's motions; empty for a mixture.
    """

    cell: str = 'belt'
    domain: str = 'sim'
    split: str = ''
    motion: str = ''

    def sample(self, seed: int) -> SceneSpec:
        """
        Draw a scene.

        :raises ConfigError: if cell, domain, split or motion is unknown.
        """
        cell = cell_named(self.cell)
        return sample_scene(seed, domain_named(self.domain, cell), self.motion, cell=cell,
                            split=self.split)


BELT_SIM = Source()
