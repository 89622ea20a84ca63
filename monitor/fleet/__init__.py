"""Who the hosts are: their statuses over a restart, their labels, who may speak for each."""
