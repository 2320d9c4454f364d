r"""Which pixels have spectra alike, before any model of them: domains by clustering, and how many the counts tell.

Spectra are compared by shape alone: :math:`\sqrt{n_i / N}` of counts has the same counting noise in every channel, and
brightness divided out. K-means on its principal components makes the domains, as in H. Iwasawa et al., npj Quantum
Mater. 7, 24 (2022), doi:10.1038/s41535-021-00407-5.

How many there are is asked of counts that had no part in making them. Each count is put by chance into one of two
halves, which makes two independent Poisson spectra of every pixel. Domains are made of the first halves; by how much
their mean spectra describe the second halves better than one domain less is the evidence, with its error over the
pixels. What clusters in noise alone describes the other half worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Domains", "Evidence", "find_domains"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Principal components in which distances are taken.
COMPONENTS = 8
#: Starts of K-means, of which the best is kept.
STARTS = 10
#: Standard errors by which a further domain has to describe the other half better.
SURE = 3.0
#: Fewest photoelectrons of a spectrum with a shape.
LEAST_COUNTS = 30.0


@dataclass(frozen=True)
class Evidence:
    """What so many domains tell of counts that had no part in making them.

    Attributes
    ----------
    number : int
        Of domains.
    gain, gain_error : float
        By how much the deviance of the other halves is less than with one domain less, and its standard error; 0 for 1.
    """

    number: int
    gain: float
    gain_error: float

    @property
    def told(self) -> bool:
        """Whether the last domain is believed."""
        return self.gain > SURE * self.gain_error


@dataclass(frozen=True)
class Domains:
    """Pixels by domain.

    Attributes
    ----------
    labels : ndarray of int, shape (n,)
        0 for the largest domain; -1 for a pixel without a spectrum.
    spectra : ndarray, shape (number, ...), counts
        Sum of the spectra of each domain.
    evidence : tuple of Evidence
        For 1, 2, ... domains.
    """

    labels: Labels
    spectra: Array
    evidence: tuple[Evidence, ...]

    @property
    def number(self) -> int:
        """Number of domains."""
        return len(self.spectra)


def find_domains(
    counts: ArrayLike, *, gain: float = 1.0, number: int | None = None, most: int = 8, seed: int = 0
) -> Domains:
    """Group pixels by the shape of their spectra.

    Parameters
    ----------
    counts : array_like, shape (n, ...)
        Spectra or frames, one a pixel, detector units; NaN where there is none.
    gain : float
        Detector units a photoelectron.
    number : int, optional
        Of domains; left out, as many as the counts tell apart.
    most : int
        Domains tried.
    seed : int
        Of the halves and the starts.

    Returns
    -------
    Domains

    Raises
    ------
    ValueError
        There are no spectra, fewer than domains, or negative counts.
    """
    every = np.asarray(counts, dtype=np.float64)
    electrons = every.reshape(len(every), -1) / gain
    good = np.array(np.isfinite(electrons).all(axis=1))
    if np.any(electrons[good] < 0):
        raise ValueError(f"counts go down to {every[good].min():g}: what is below 0 is no count")
    good[good] = electrons[good].sum(axis=1) >= LEAST_COUNTS
    wanted = number if number is not None else 1
    if good.sum() < max(wanted, 2):
        raise ValueError(f"{good.sum()} of {len(every)} pixels have a spectrum; {max(wanted, 2)} are needed at least")
    used = electrons[good]
    evidence = _evidence(used, min(most, int(good.sum()) - 1), seed) if number is None else ()
    if number is None:
        # As far as each further one is told; a later one that would be told again does not count.
        found = [one.told for one in evidence[1:]]
        number = 1 + (found.index(False) if False in found else len(found))
    grouped = _cluster(used, number, seed)
    order = np.argsort(-np.bincount(grouped, minlength=number), kind="stable")
    labels = np.full(len(every), -1, dtype=np.int64)
    labels[good] = np.argsort(order)[grouped]
    spectra = np.array([every[labels == domain].sum(axis=0) for domain in range(number)])
    return Domains(labels, spectra, evidence)


def _evidence(electrons: Array, most: int, seed: int) -> tuple[Evidence, ...]:
    rng = np.random.default_rng([seed, 0xD0])
    whole = np.rint(electrons).astype(np.int64)
    first = rng.binomial(whole, 0.5).astype(np.float64)
    second = whole - first
    found, before = [], np.empty(0)
    for number in range(1, most + 1):
        deviance = _deviance(second, first, _cluster(first, number, seed))
        gains = before - deviance if number > 1 else np.zeros(len(deviance))
        found.append(Evidence(number, float(gains.sum()), float(np.sqrt(len(gains)) * gains.std())))
        before = deviance
        if number > 1 and not found[-1].told:
            break
    return tuple(found)


def _cluster(electrons: Array, number: int, seed: int) -> Labels:
    if number == 1:
        return np.zeros(len(electrons), dtype=np.int64)
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    shape = np.sqrt(electrons / np.maximum(electrons.sum(axis=1, keepdims=True), 1.0))
    parts = min(COMPONENTS, *shape.shape)
    reduced = PCA(n_components=parts, svd_solver="covariance_eigh", random_state=seed).fit_transform(shape)
    labels = KMeans(n_clusters=number, n_init=STARTS, random_state=seed).fit_predict(reduced)
    return np.asarray(labels, dtype=np.int64)


def _deviance(counts: Array, made_of: Array, labels: Labels) -> Array:
    """Deviance of counts against the mean spectra of others, less what no spectrum changes; shape (n,)."""
    out = np.empty(len(counts))
    channels = counts.shape[1]
    for domain in np.unique(labels):
        members = labels == domain
        # Half a count in all: a channel that was empty in one half need not be empty in the other.
        total = made_of[members].sum(axis=0) + 0.5 / channels
        out[members] = -2.0 * counts[members] @ np.log(total / total.sum())
    return out
