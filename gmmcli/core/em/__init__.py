"""The EM algorithm: the loop, the convergence test, and variants that need fewer rows or fewer passes."""
