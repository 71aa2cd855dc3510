"""The job that gets a certificate issued: RFC 8555 section 7.4 as a total function.

`steps.next_step` sees what was asked and answered and says the one thing to do now;
`fold.fold` writes down what came of it. No other module decides what comes next in an
order, and resumption after a crash is a call of the same function.
"""
