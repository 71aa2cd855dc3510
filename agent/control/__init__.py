"""The control sockets: `verbs` is agreed on, `server` answers, `client` asks."""
