"""Who scores genomes: the evaluator and trainer ports, in this process and on Ray."""
