"""Find circuits: learned masks or attribution rank the nodes, a bisection decides how many stay."""
