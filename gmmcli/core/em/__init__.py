"""The EM algorithm: its loop, when it has converged, and variants that need fewer rows or fewer passes."""
