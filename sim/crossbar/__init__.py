"""The analog array: crossbars whose cells, wires and converters are not ideal."""
