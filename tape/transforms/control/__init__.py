"""Control flow as entries that hold programs: branches, loops, scans.

Each function records the functions that it is given as programs (``tape.program.bodies``), checks that
what they return fits (``alike``), and applies one primitive to the operands and to what the programs
read from outside. The rules of a primitive apply the same primitive to programs that follow from these.
"""
