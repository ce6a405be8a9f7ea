"""From one master file to the learner notebook and the solved notebook."""
