@critical
Feature: The application's role can do its work and no more
  An attacker who breaks into the application has its login. What that login may not do, the attacker cannot do either
  (least privilege).

  @id.SE-02 @admin @members
  Scenario Outline: Every stored password is a SCRAM verifier on <servers>
    Then on <servers> every password of a role that can log in is stored as SCRAM
    And every member has these settings for the application
      | setting             | value         |
      | password_encryption | scram-sha-256 |

    Examples:
      | servers                              |
      | the server behind the write endpoint |

    @citus @workers @nodes
    Examples: on their own, as roles are not always made through the coordinator
      | servers                         |
      | the leader of each worker group |

  @id.SE-02
  Scenario Outline: The application's role has no privileges over <servers>
    Then on <servers> the application's role can do this, by itself or as a member of another role
      | privilege                  | granted |
      | be a superuser             | no      |
      | create roles               | no      |
      | create databases           | no      |
      | replicate the server       | no      |
      | bypass row-level security  | no      |
      | read files of the server   | no      |
      | write files of the server  | no      |
      | run programs on the server | no      |
      | end other roles' sessions  | no      |

    @smoke
    Examples:
      | servers                              |
      | the server behind the write endpoint |

    @citus @workers @nodes
    Examples: on their own, as roles are not always made through the coordinator
      | servers                         |
      | the leader of each worker group |

  @id.SE-02 @schema
  Scenario Outline: The application's role is refused what only an administrator may do on <servers>
    When on <servers> the application's role tries to
      | action                                 |
      | read a file of the server              |
      | list a directory of the server         |
      | load a file of the server into a table |
      | write a file on the server             |
      | run a program on the server            |
      | create a role                          |
      | become the bootstrap superuser         |
      | read the stored passwords              |
      | disable triggers and constraints       |
      | reload the server's configuration      |
      | load code into the server              |
    Then every action is refused for insufficient privilege

    Examples:
      | servers                              |
      | the server behind the write endpoint |

    @citus @workers @nodes
    Examples: on their own, as roles are not always made through the coordinator
      | servers                         |
      | the leader of each worker group |
