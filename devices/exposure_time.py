"""How long one frame takes, and for how much of that one of its energies is counted."""

from __future__ import annotations

from dataclasses import dataclass

from microarpes.devices.region import Region


@dataclass(frozen=True)
class ExposureTime:
    """Times of one frame.

    Parameters
    ----------
    real : float
        From the start of the exposure to its end, s; in a sweep with the lead-in.
    counted : float
        For which every energy of the frame is counted, s.
    """

    real: float
    counted: float

    @property
    def fraction(self) -> float:
        """Share of the real time for which an energy is counted."""
        return self.counted / self.real

    @classmethod
    def of(cls, region: Region, *, n_energy: int, points: int = 0, told: float = 0.0) -> ExposureTime:
        """Return the times of a region.

        In a sweep of n energies the detector begins m points before the first, its lead-in, and every energy passes
        over these m points of the detector. So one iteration takes n + m points and counts every energy for m of them.

        Parameters
        ----------
        region : Region
        n_energy : int
            Energies of the frame.
        points : int
            Energy points of one iteration, with the lead-in.
        told : float
            Seconds the driver said a sweep takes, for one that does not count its lead-in; 0 when it said nothing.

        Examples
        --------
        >>> sweep = Region(acquisition_mode="Swept", low_energy=95.0, high_energy=95.1, acquire_time=0.5, iterations=2)
        >>> ExposureTime.of(sweep, n_energy=101, points=121)
        ExposureTime(real=121.0, counted=20.0)
        """
        point = region.point_time
        if not region.swept:
            return cls(point, point)
        real = max(told, max(points, n_energy) * point)
        lead_in = real - n_energy * point
        return cls(real, lead_in if lead_in > 0.5 * point else point)
