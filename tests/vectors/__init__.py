"""Material of the tests of the pure core: records, chains, a CA without a wire."""
