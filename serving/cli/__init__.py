"""The commands of this package: `h2rec serve`, `h2rec recommend`, `h2rec bench serve`."""
