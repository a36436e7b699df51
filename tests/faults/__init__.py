"""Bad inputs and faults, a file for each section of the catalogue; its ids are in the tests' names."""
