"""What tests in a browser need from npm: axe-core, which finds what some people cannot use."""
