"""What the statistics promise, by simulation and beside other packages."""
